//! The Azure clouds: authority, ARM and its token scope.
