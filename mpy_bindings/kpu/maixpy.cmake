# The KPU module, for MaixPy and CanMV: included where components/micropython lists its sources, which
# are the only ones that it looks for names (qstr) in.
get_filename_component(maix_kpu_bindings ${CMAKE_CURRENT_LIST_FILE} REALPATH)
get_filename_component(maix_kpu_bindings ${maix_kpu_bindings} DIRECTORY)
get_filename_component(maix_kpu_bindings ${maix_kpu_bindings} DIRECTORY)

file(GLOB maix_kpu_srcs ${maix_kpu_bindings}/kpu/*.c ${maix_kpu_bindings}/maixpy/kpu_port.c)
foreach(src ${maix_kpu_srcs})
    # The rule for names wants paths relative to the component.
    file(RELATIVE_PATH src ${CMAKE_CURRENT_SOURCE_DIR} ${src})
    list(APPEND MPY_PORT_SRCS ${src})
endforeach()
list(APPEND ADD_INCLUDE ${maix_kpu_bindings} ${maix_kpu_bindings}/kpu ${maix_kpu_bindings}/include)
