//! Checks that core as a wasm module imports nothing. So it can ask for nothing, whatever its dependencies might do.

use crate::wasm;

/// Problems: the module imports something, or the bytes are not a wasm module.
pub(super) fn problems(module: &[u8]) -> Vec<String> {
    match imports(module) {
        Some(imports) => imports.iter().map(|import| format!("core's module imports {import}")).collect(),
        None => vec!["core's module is not a wasm module that can be read".to_owned()],
    }
}

/// The `module.name` of the first import and the count of all, or `None` if the bytes are not a core wasm module.
fn imports(module: &[u8]) -> Option<Vec<String>> {
    const IMPORT_SECTION: u8 = 2;
    let sections = wasm::of_module(module)?;
    let Some(imports) = sections.into_iter().find(|section| section.id == IMPORT_SECTION) else {
        return Some(Vec::new());
    };
    // Import kinds have many forms, and one import is too many. So only the first is named, and the rest counted.
    let mut at = imports.content.start;
    let count = wasm::number(module, &mut at)?;
    if count == 0 {
        return Some(Vec::new());
    }
    let mut name = || {
        let len = wasm::number(module, &mut at)?;
        let name = module.get(at..at.checked_add(len)?)?;
        at += len;
        Some(String::from_utf8_lossy(name).into_owned())
    };
    let (module, field) = (name()?, name()?);
    Some(vec![format!("{module}.{field} (one of {count})")])
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn a_module_with_an_import_is_found() {
        // A custom section of 3 bytes, then `(import "env" "now" (func (type 0)))`.
        let module = [HEADER, b"\x00\x03\x02hi", b"\x02\x0b\x01\x03env\x03now\x00\x00"].concat();
        assert_eq!(problems(&module), ["core's module imports env.now (one of 1)"]);
    }

    #[test]
    fn a_module_without_imports_passes() {
        assert!(problems(&[HEADER, b"\x00\x03\x02hi"].concat()).is_empty());
        assert!(problems(&[HEADER, b"\x02\x01\x00"].concat()).is_empty());
    }

    #[test]
    fn what_is_no_module_does_not_pass() {
        assert!(!problems(b"").is_empty());
        assert!(!problems(b"\0asm\x0d\0\x01\0").is_empty()); // a component
        assert!(!problems(&[HEADER, b"\x02\x7f\x01"].concat()).is_empty()); // cut off
    }
}
