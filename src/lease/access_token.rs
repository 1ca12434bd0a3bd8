//! Kind `access-token`.
