//! Models are loaded, run and freed.

use crate::{doors::*, firmware::*};
use core::{
    ffi::c_int,
    ptr::{null, null_mut},
    slice,
};
use maix_kpu::{
    error::Code,
    ffi::dropin::{layers::sipeed_kpu_model_get_layer_num, models::*, sdk::*},
    model::Model,
};

#[test]
fn models_run_from_wherever_they_are_loaded() {
    let _turn = boot();
    let mut files = kmodel_samples::all();
    files.push(("mnist", mnist()));
    for (name, file) in files {
        let input = input_of(&file, 1);
        let expected = expected(&file, &input, 0);
        save("/sd/m.kmodel", &file);
        flash(&file);
        let bytes = Model::open(&&file[..]).unwrap().size() as u32;
        for (model, size) in [
            (load_file("/sd/m.kmodel").unwrap(), file.len() as u32),
            (load_flash(ADDRESS, false).unwrap(), bytes),
            (load_flash(ADDRESS, true).unwrap(), bytes),
        ] {
            assert_eq!(model.1, size, "{name}");
            assert_eq!(run(model.0, &input, expected.len()), expected, "{name}");
            assert_eq!(destroy(model.0), 0);
        }
        let mut swapped = file.clone();
        swapped.resize(file.len().next_multiple_of(4), 0);
        swapped.chunks_exact_mut(4).for_each(<[u8]>::reverse);
        flash(&swapped);
        let (model, _) = load_flash(ADDRESS, true).unwrap();
        assert_eq!(run(model, &input, expected.len()), expected, "{name}, swapped");
        assert_eq!(destroy(model), 0);
        assert_eq!((printed(), firmware(|f| f.open_files)), (String::new(), 0));
    }
}

#[test]
fn models_in_memory_run() {
    let _turn = boot();
    for (name, file) in kmodel_samples::all() {
        let input = input_of(&file, 2);
        let mut context = core::mem::MaybeUninit::<SdkContext>::uninit();
        let place = context.as_mut_ptr();
        let mut calls = 0usize;
        // SAFETY: the model and the input are whole and stay, the rest is ours.
        unsafe {
            assert_eq!(nncase_load_kmodel(place, file.as_ptr()), 0, "{name}");
            let done = (&raw mut calls).cast();
            assert_eq!(nncase_run_kmodel(place, input.as_ptr(), 5, Some(count), done), 0);
            for (index, expected) in expected(&file, &input, 0).into_iter().enumerate() {
                let (mut data, mut size) = (null_mut(), 0);
                let code = nncase_get_output(place, index as u32, &raw mut data, &raw mut size);
                assert_eq!(code, 0);
                assert_eq!(slice::from_raw_parts(data, size), expected, "{name}");
            }
            nncase_model_free(place);
            assert_eq!(printed(), "");
            let code = nncase_run_kmodel(place, input.as_ptr(), 5, Some(count), done);
            assert_eq!(code, Code::Param as c_int);
        }
        assert_eq!(calls, 1);
        assert!(printed().contains("never loaded"));
    }
    let mut context = core::mem::MaybeUninit::<SdkContext>::uninit();
    let nothing = [0x1234_5678u32; 4];
    // SAFETY: the first bytes are enough to see that this is no model.
    let code = unsafe { nncase_load_kmodel(context.as_mut_ptr(), nothing.as_ptr().cast()) };
    assert_eq!(code, Code::Version as c_int);
}

#[test]
fn first_layers_run_alone_and_keep_their_output() {
    let _turn = boot();
    let (_, file) = kmodel_samples::all().swap_remove(0);
    let input = input_of(&file, 3);
    flash(&file);
    let (model, _) = load_flash(ADDRESS, false).unwrap();
    let (other, _) = load_flash(ADDRESS, true).unwrap();
    let all = sipeed_kpu_model_get_layer_num(model);
    for layers in (1..=all as u32).rev().chain([0]) {
        assert_eq!(sipeed_kpu_model_set_output(model, 0, layers), 0);
        let shown = if layers == 0 { all } else { layers as c_int };
        assert_eq!(sipeed_kpu_model_get_layer_num(model), shown);
        let expected = expected(&file, &input, layers);
        let first = run(model, &input, expected.len());
        run(other, &input_of(&file, 99), 0);
        assert_eq!(first, expected, "{layers}");
        let again: Vec<_> = (0..expected.len() as u32).map(|i| output(model, i).unwrap()).collect();
        assert_eq!(again, expected, "{layers}");
    }
    assert_eq!(sipeed_kpu_model_set_output(model, 0, all as u32 + 1), Code::Index as c_int);
    assert!(printed().contains("layers asked for"));
    assert_eq!(sipeed_kpu_model_set_output(model, 1, 1), Code::Index as c_int);
    assert_eq!(destroy(model), 0);
    assert_eq!(destroy(other), 0);
}

/// What newer CanMV firmwares ask of a kmodel v4: its size by its first bytes, and shapes.
#[test]
fn models_in_memory_tell_their_sizes() {
    let _turn = boot();
    for (name, file) in kmodel_samples::all() {
        let model = Model::open(&&file[..]).unwrap();
        let probe = |bytes: &[u8]| {
            // SAFETY: the bytes are ours.
            unsafe { nncase_probe_model_buffer_size(bytes.as_ptr(), bytes.len() as u32) }
        };
        assert_eq!(probe(&file), model.size() as i32, "{name}");
        // All but the last body, of which nothing is read.
        assert_eq!(probe(&file[..model.size() - 8]), model.size() as i32, "{name}");
        assert_eq!(printed(), "");
        assert_eq!(probe(&file[..10]), -1);
        assert_eq!(probe(&[0; 64]), -1);
        assert!(printed().contains("only zero bytes"));

        let mut context = core::mem::MaybeUninit::<SdkContext>::uninit();
        let place = context.as_mut_ptr();
        let (mut c, mut h, mut w) = (0, 0, 0);
        // SAFETY: the model is whole and stays, the rest is ours.
        unsafe {
            assert_eq!(nncase_load_kmodel(place, file.as_ptr()), 0, "{name}");
            assert_eq!(nncase_get_output_count(place), model.output_count() as c_int);
            let mut input = |index| {
                let code = nncase_get_input_shape(place, index, &raw mut c, &raw mut h, &raw mut w);
                (code, [c, h, w])
            };
            let shape = model.input(&&file[..], 0).unwrap().image();
            let sizes = [shape.channels, shape.height, shape.width].map(|size| size as c_int);
            assert_eq!(input(0), (0, sizes), "{name}");
            assert_ne!(input(9).0, 0);
            assert_ne!(input(-1).0, 0);
            let shape = model.output(&&file[..], 0).unwrap().image();
            let sizes = [shape.channels, shape.height, shape.width].map(|size| size as c_int);
            let code = nncase_get_output_shape(place, &raw mut c, &raw mut h, &raw mut w);
            assert_eq!((code, [c, h, w]), (0, sizes), "{name}");
            assert_ne!(nncase_get_output_shape(place, null_mut(), &raw mut h, &raw mut w), 0);
            nncase_model_free(place);
            assert_eq!(nncase_get_output_count(place), 0);
        }
        printed();
    }
}

#[test]
fn errors_are_numbers_and_one_line() {
    let _turn = boot();
    for (bytes, code, says) in [
        (&[0xFF; 64][..], Code::Version, "erased flash"),
        (&[0; 64], Code::Version, "only zero bytes"),
        (&[5, 0, 0, 0, 9, 9, 9, 9], Code::Version, "kmodel version"),
        (&mnist()[..200], Code::Format, "ends here"),
    ] {
        save("/sd/m.kmodel", bytes);
        assert_eq!(load_file("/sd/m.kmodel").unwrap_err(), code as c_int, "{says}");
        let line = printed();
        assert!(line.starts_with("[maix-kpu] ") && line.ends_with("\r\n"), "{line}");
        assert!(line.contains(says) && line.contains("; ") && line.lines().count() == 1, "{line}");
    }
    assert_eq!(load_file("/sd/no.kmodel").unwrap_err(), Code::Read as c_int);
    assert!(printed().contains("cannot be opened"));
    for address in [0, 16 << 20] {
        assert_eq!(load_flash(address, false).unwrap_err(), Code::Param as c_int);
    }
    printed();

    let file = mnist();
    flash(&file);
    let (model, _) = load_flash(ADDRESS, true).unwrap();
    firmware(|firmware| firmware.broken = true);
    let input = input_of(&file, 1);
    let mut calls = 0usize;
    let done = (&raw mut calls).cast();
    // SAFETY: the input is whole.
    let code = unsafe { sipeed_kpu_model_run(model, input.as_ptr(), 5, Some(count), done) };
    assert_eq!((code, calls), (Code::Read as c_int, 0));
    assert!(printed().contains("reading the model failed"));
    assert_eq!(load_flash(ADDRESS, false).unwrap_err(), Code::Read as c_int);
    printed();
    firmware(|firmware| firmware.broken = false);
    assert_eq!(run(model, &input, 1), expected(&file, &input, 0));
    // SAFETY: a null pointer is allowed.
    let code = unsafe { sipeed_kpu_model_run(model, null(), 5, None, null_mut()) };
    assert_eq!(code, Code::Param as c_int);
    assert_eq!(output(model, 1).unwrap_err(), Code::Index as c_int);

    assert_eq!(destroy(model), 0);
    printed();
    assert_eq!(destroy(model), Code::Param as c_int);
    assert!(printed().contains("freed"));
    // SAFETY: what is no model is looked up first.
    let code = unsafe { sipeed_kpu_model_run(model, input.as_ptr(), 5, None, null_mut()) };
    assert_eq!(code, Code::Param as c_int);
    assert_eq!(sipeed_kpu_model_get_type(model), 0);
    assert_eq!(sipeed_kpu_model_get_layer_num(model), -1);
    assert_eq!(output(null_mut(), 0).unwrap_err(), Code::Param as c_int);
    assert_eq!(destroy(null_mut()), 0);
}

#[test]
fn shapes_are_told_and_set() {
    let _turn = boot();
    flash(&mnist());
    let (model, _) = load_flash(ADDRESS, false).unwrap();
    let (mut w, mut h, mut c) = (0, 0, 0);
    let (pw, ph, pc) = (&raw mut w, &raw mut h, &raw mut c);
    // SAFETY: the places are ours.
    unsafe {
        assert_eq!(sipeed_kpu_model_get_input_shape(model, pw, ph, pc), 0);
        assert_eq!((*pw, *ph, *pc), (28, 28, 1));
        assert_eq!(sipeed_kpu_model_get_output_shape(model, pw, ph, pc), 0);
        assert_eq!((*pw, *ph, *pc), (1, 1, 10));
        assert_eq!(sipeed_kpu_set_outputs_shape(model, 0, 5, 2, 1), 0);
        assert_eq!(sipeed_kpu_get_outputs_shape(model, 0, pw, ph, pc), 0);
        assert_eq!((*pw, *ph, *pc), (5, 2, 1));
        assert_eq!(sipeed_kpu_set_outputs_shape(model, 0, 5, 2, 2), Code::Size as c_int);
        assert_eq!(sipeed_kpu_set_outputs_shape(model, 1, 5, 2, 1), Code::Index as c_int);
        assert_eq!(sipeed_kpu_get_outputs_shape(model, 1, pw, ph, pc), Code::Index as c_int);
    }
    assert_eq!(sipeed_kpu_model_get_type(model), 4);
    assert_eq!(destroy(model), 0);

    let (_, vector) = kmodel_samples::all().swap_remove(1);
    flash(&vector);
    let (model, _) = load_flash(ADDRESS, false).unwrap();
    assert_eq!(sipeed_kpu_model_get_type(model), 3);
    // SAFETY: the places are ours.
    let code = unsafe { sipeed_kpu_model_get_input_shape(model, pw, ph, pc) };
    let input = Model::open(&&vector[..]).unwrap().input(&&vector[..], 0).unwrap().image();
    let is_image = input.plane() > 1 || input.channels <= 3;
    assert_eq!(code, if is_image { 0 } else { Code::FirstLayer as c_int });
    assert_eq!(destroy(model), 0);
}
