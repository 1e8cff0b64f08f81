# Our module in place of MaixPy's; included by components/micropython.
if(CONFIG_MAIX_KPU_MODULE)
    get_filename_component(maix_kpu ${CMAKE_CURRENT_LIST_DIR} REALPATH)
    list(REMOVE_ITEM MPY_PORT_SRCS port/src/Maix/Maix_kpu.c port/src/Maix/Maix_kpu_classifier.c)
    include(${maix_kpu}/../kpu/maixpy.cmake)
endif()
