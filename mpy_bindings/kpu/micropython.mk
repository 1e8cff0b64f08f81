# The KPU module, for any port of MicroPython that takes user C modules. The port defines what
# kpu_image.h and kpu_port.h declare, and links a library with the functions of maix_kpu.h.
KPU_DIR := $(USERMOD_DIR)

SRC_USERMOD += $(addprefix $(KPU_DIR)/, kpu_class.c kpu_classifier.c kpu_errors.c kpu_file.c \
    kpu_fmap.c kpu_input.c kpu_module.c kpu_net.c kpu_netinfo.c kpu_yolo.c maix_module.c)
CFLAGS_USERMOD += -I$(KPU_DIR) -I$(KPU_DIR)/.. -I$(KPU_DIR)/../include
