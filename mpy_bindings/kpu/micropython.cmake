# The KPU module, for any port of MicroPython that takes user C modules by CMake. The port defines
# what kpu_image.h and kpu_port.h declare, and links a library with the functions of maix_kpu.h.
add_library(usermod_kpu INTERFACE)

target_sources(usermod_kpu INTERFACE
    ${CMAKE_CURRENT_LIST_DIR}/kpu_class.c
    ${CMAKE_CURRENT_LIST_DIR}/kpu_classifier.c
    ${CMAKE_CURRENT_LIST_DIR}/kpu_errors.c
    ${CMAKE_CURRENT_LIST_DIR}/kpu_file.c
    ${CMAKE_CURRENT_LIST_DIR}/kpu_fmap.c
    ${CMAKE_CURRENT_LIST_DIR}/kpu_input.c
    ${CMAKE_CURRENT_LIST_DIR}/kpu_module.c
    ${CMAKE_CURRENT_LIST_DIR}/kpu_net.c
    ${CMAKE_CURRENT_LIST_DIR}/kpu_netinfo.c
    ${CMAKE_CURRENT_LIST_DIR}/kpu_yolo.c
    ${CMAKE_CURRENT_LIST_DIR}/maix_module.c
)
target_include_directories(usermod_kpu INTERFACE
    ${CMAKE_CURRENT_LIST_DIR}
    ${CMAKE_CURRENT_LIST_DIR}/..
    ${CMAKE_CURRENT_LIST_DIR}/../include
)
target_link_libraries(usermod INTERFACE usermod_kpu)
