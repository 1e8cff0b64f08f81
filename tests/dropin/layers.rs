//! Looking into models; faces; the chip's number.

use crate::{doors::*, firmware::*};
use core::ffi::{CStr, c_int};
use maix_kpu::{
    error::Code,
    ffi::dropin::{faces::*, layers::*, uid::sipeed_uid_get},
    model::{Model, Source},
};

#[test]
fn layers_are_told() {
    let _turn = boot();
    let (_, file) = kmodel_samples::all().swap_remove(0);
    flash(&file);
    let (model, _) = load_flash(ADDRESS, false).unwrap();
    assert_eq!(sipeed_kpu_model_print_layer_info(model), 0);
    let lines = printed();
    let parsed = Model::open(&&file[..]).unwrap();
    let source: &dyn Source = &&file[..];
    let mut convs = 0;
    for (line, node) in lines.lines().zip(parsed.nodes(source)) {
        let node = node.unwrap();
        let mut number = 0;
        // SAFETY: the place is ours, names are C strings, words stay until the next call.
        unsafe {
            assert_eq!(sipeed_kpu_model_get_layer_type(model, node.index, &raw mut number), 0);
            assert_eq!(number, node.opcode);
            let name = CStr::from_ptr(sipeed_kpu_model_getname_from_type(number)).to_str().unwrap();
            assert_ne!(name, "KL_INVALID");
            assert_eq!(line, format!("layer[{}]: {name}, {} bytes", node.index, node.size));
            assert_eq!(sipeed_kpu_model_get_layer_size(model, node.index), node.size as c_int);
            let words = sipeed_kpu_model_get_conv_layer(model, node.index);
            match node.kpu_conv() {
                Some(conv) => {
                    convs += 1;
                    assert_eq!((name, *words), ("KL_K210_CONV", conv.layer.encode()));
                }
                None => assert!(words.is_null()),
            }
        }
    }
    assert_eq!(lines.lines().count(), parsed.node_count() as usize);
    assert!(convs > 0);
    let end = parsed.node_count();
    assert_eq!(sipeed_kpu_model_get_layer_size(model, end), -1);
    assert!(sipeed_kpu_model_get_conv_layer(model, end).is_null());
    let mut number = 0;
    // SAFETY: the place is ours.
    let code = unsafe { sipeed_kpu_model_get_layer_type(model, end, &raw mut number) };
    assert_eq!(code, Code::Index as c_int);
    assert_eq!(destroy(model), 0);

    flash(&mnist());
    let (model, _) = load_flash(ADDRESS, false).unwrap();
    assert_eq!(sipeed_kpu_model_print_layer_info(model), 0);
    // SAFETY: the place is ours.
    let code = unsafe { sipeed_kpu_model_get_layer_type(model, 0, &raw mut number) };
    assert_eq!(code, Code::NotImplemented as c_int);
    assert_eq!(destroy(model), 0);
    for (number, dtype) in [(12, b'f'), (10240, b'B'), (15, b'f'), (17, b'B')] {
        assert_eq!(sipeed_kpu_model_getdtype_from_type(number) as u8, dtype);
    }
}

#[test]
fn faces_are_compared() {
    let feature = [0.1f32, -0.2, 0.05, 0.0];
    let mut code = [0i8; 4];
    // SAFETY: both have four values.
    unsafe {
        sipeed_kpu_face_encode(feature.as_ptr(), code.as_mut_ptr(), 4);
        assert_eq!(code, [51, -102, 25, 0]);
        assert_eq!(sipeed_kpu_face_compare(code.as_ptr(), code.as_ptr(), 4), 100.0);
        let opposite = code.map(|value| -value);
        assert_eq!(sipeed_kpu_face_compare(code.as_ptr(), opposite.as_ptr(), 4), 0.0);
    }
}

#[test]
fn a_pc_has_no_number() {
    let mut uid = [0; 32];
    // SAFETY: 32 bytes.
    assert!(!unsafe { sipeed_uid_get(uid.as_mut_ptr()) });
}
