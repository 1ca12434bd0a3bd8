//! Where leases become usable.
