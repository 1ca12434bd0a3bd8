//! Entra's error answers, read by ourselves.
