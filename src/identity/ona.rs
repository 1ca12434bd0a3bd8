//! Source `ona`.
