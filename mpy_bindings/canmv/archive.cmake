# Our archive in place of the SDK's sources; included by components/kendryte_sdk.
if(CONFIG_COMPONENT_MAIX_KPU_ENABLE)
    get_filename_component(maix_kpu ${CMAKE_CURRENT_LIST_DIR} REALPATH)
    list(FILTER ADD_SRCS EXCLUDE REGEX "standalone-sdk/(lib/drivers/kpu\\.c|lib/nncase/|third_party/xtl/)")
    list(APPEND ADD_STATIC_LIB ${maix_kpu}/../../target/firmware/libmaix_kpu.a)
endif()
