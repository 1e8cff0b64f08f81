# The KPU module, for MaixPy and CanMV: included where components/micropython lists its sources, which
# are the only ones that it looks for names (qstr) in. `maix_kpu` is the folder of the firmware's own
# glue, `maix_kpu_srcs` what is to be compiled of it.
file(GLOB module ${maix_kpu}/../kpu/*.c)
foreach(src ${maix_kpu_srcs} ${maix_kpu}/../maixpy/kpu_port.c ${module})
    # The rule for names wants paths relative to the component.
    get_filename_component(src ${src} ABSOLUTE)
    file(RELATIVE_PATH src ${CMAKE_CURRENT_SOURCE_DIR} ${src})
    list(APPEND MPY_PORT_SRCS ${src})
endforeach()
list(APPEND ADD_INCLUDE ${maix_kpu}/.. ${maix_kpu}/../kpu ${maix_kpu}/../include)
