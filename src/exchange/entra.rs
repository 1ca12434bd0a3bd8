//! Client assertion at Entra.
