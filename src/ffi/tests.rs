//! The header and the functions say the same.

use super::header;

macro_rules! exports {
    ($($module:ident: $($name:ident)*;)*) => {
        const NAMES: &[&str] = &[$($(stringify!($name),)*)*];

        /// Does not compile where a function's types are not those of its declaration.
        #[test]
        fn types_are_those_of_the_header() {
            $($({
                let _ = [header::$name, super::$module::$name];
            })*)*
        }
    };
}

exports! {
    errors: maix_kpu_last_error maix_kpu_error_text maix_kpu_error_hint;
    services: maix_kpu_start maix_kpu_stop;
    model: maix_kpu_open_bytes maix_kpu_open_file maix_kpu_open_flash maix_kpu_open_reader
        maix_kpu_close maix_kpu_info maix_kpu_input maix_kpu_output maix_kpu_node
        maix_kpu_metadata maix_kpu_set_layers;
    forward: maix_kpu_forward maix_kpu_read_output maix_kpu_output_bytes;
    scores: maix_kpu_sigmoid maix_kpu_softmax maix_kpu_top maix_kpu_face_encode
        maix_kpu_face_compare maix_kpu_feature_normalize maix_kpu_feature_compare maix_kpu_plate;
    yolo: maix_kpu_yolo2_open maix_kpu_yolo3_open maix_kpu_yolo_close maix_kpu_yolo_classes
        maix_kpu_yolo_detect maix_kpu_yolo_detection maix_kpu_detection_rect
        maix_kpu_detection_unletterbox;
    classifier: maix_kpu_learner_open maix_kpu_learner_close maix_kpu_learner_info
        maix_kpu_learner_add_class maix_kpu_learner_add_sample
        maix_kpu_learner_remove_class maix_kpu_learner_remove_sample
        maix_kpu_learner_train maix_kpu_learner_predict maix_kpu_learner_save
        maix_kpu_learner_file maix_kpu_learner_load;
}

/// Functions that a C header declares: names before a parenthesis, outside comments and types.
fn declared(header: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (at, _) in header.match_indices("maix_kpu_") {
        let end = header[at..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, rest) = header[at..].split_at(end.unwrap_or(header.len() - at));
        if rest.starts_with('(') {
            names.push(name);
        }
    }
    names
}

#[test]
fn every_function_of_the_header_is_there() {
    let header = include_str!("../../mpy_bindings/include/maix_kpu.h");
    let (mut declared, mut ours) = (declared(header), NAMES.to_vec());
    declared.sort_unstable();
    ours.sort_unstable();
    assert_eq!(declared, ours);
}

#[test]
fn numbers_of_errors_are_those_of_the_header() {
    use crate::error::Code;
    let pairs = [
        (Code::Param, header::MAIX_KPU_ERROR_PARAM),
        (Code::Version, header::MAIX_KPU_ERROR_VERSION),
        (Code::Format, header::MAIX_KPU_ERROR_FORMAT),
        (Code::Decrypt, header::MAIX_KPU_ERROR_DECRYPT),
        (Code::Read, header::MAIX_KPU_ERROR_READ),
        (Code::NoMemory, header::MAIX_KPU_ERROR_NO_MEMORY),
        (Code::FirstLayer, header::MAIX_KPU_ERROR_FIRST_LAYER),
        (Code::Run, header::MAIX_KPU_ERROR_RUN),
        (Code::ModelsFull, header::MAIX_KPU_ERROR_MODELS_FULL),
        (Code::Permission, header::MAIX_KPU_ERROR_PERMISSION),
        (Code::Index, header::MAIX_KPU_ERROR_INDEX),
        (Code::Size, header::MAIX_KPU_ERROR_SIZE),
        (Code::OutputsNotSet, header::MAIX_KPU_ERROR_OUTPUTS_UNSET),
        (Code::NotImplemented, header::MAIX_KPU_ERROR_NOT_IMPLEMENTED),
        (Code::Unknown, header::MAIX_KPU_ERROR_UNKNOWN),
    ];
    for (code, number) in pairs {
        assert_eq!(code as u32, number);
    }
}
