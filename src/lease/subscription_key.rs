//! Kind `subscription-key`.
