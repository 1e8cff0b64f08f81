# Our archive in place of the closed ones; included by components/kendryte_sdk.
if(CONFIG_COMPONENT_MAIX_KPU_ENABLE)
    get_filename_component(maix_kpu ${CMAKE_CURRENT_LIST_DIR} REALPATH)
    list(REMOVE_ITEM ADD_STATIC_LIB libs/lib_sipeed_kpu.a libs/lib_sipeed_kpu_v4.a libs/libnncase.a)
    list(APPEND ADD_STATIC_LIB ${maix_kpu}/../../target/firmware/libmaix_kpu.a)
endif()
