# Our module in place of CanMV's; included by components/micropython.
if(CONFIG_MAIX_KPU_MODULE)
    get_filename_component(maix_kpu ${CMAKE_CURRENT_LIST_DIR} REALPATH)
    list(FILTER MPY_PORT_SRCS EXCLUDE REGEX "port/src/Maix/maix_kpu/")
    set(maix_kpu_srcs ${maix_kpu}/kpu_canmv.c)
    include(${maix_kpu}/../kpu/maixpy.cmake)
    # modMaix.c looks for our class under this name.
    add_definitions(-Dkpu_class_type=k210_kpu_type)
endif()
