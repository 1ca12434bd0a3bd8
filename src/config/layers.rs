//! Where each setting comes from: flags over environment over file over defaults.
