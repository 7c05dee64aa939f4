//! Tells the code which Python it is built for: `cfg(Py_LIMITED_API)`.

fn main() {
    #[cfg(feature = "python")]
    pyo3_build_config::use_pyo3_cfgs();
}
