//! How much freed memory glibc's allocator holds on to.

/// Arenas, at most. Left to itself it makes up to eight for each core as threads come, and each keeps
/// what was freed in it: a fill of 60 million rows then took twice the memory of one of 6 million.
/// `benches/README.md` has what one, two and more of them take.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: libc::c_int = 2;

/// To be called before there is a second thread. Other allocators are left as they are.
#[allow(unsafe_code, reason = "no library offers this setting")]
pub(crate) fn limit() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes two integers, keeps neither, and may be called at any time (mallopt(3)).
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
    }
}

/// Gives what was freed back to the system: between what is in use, much of it stays otherwise, and more
/// from run to run. It takes milliseconds.
#[allow(unsafe_code, reason = "no library offers this call")]
pub(crate) fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes an integer, and may be called by any thread at any time (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}
