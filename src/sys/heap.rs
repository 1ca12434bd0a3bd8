//! The heap of the whole process.

use std::alloc::System;
use zeroizing_alloc::ZeroAlloc;

/// Wipes whatever is freed. The HTTP stack, the TLS library and the Azure SDK hold tokens and keys in buffers that are not
/// ours to wipe; without this they would be left in freed memory.
#[global_allocator]
static HEAP: ZeroAlloc<System> = ZeroAlloc(System);
