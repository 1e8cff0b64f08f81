# Module image. The port links a library with the functions of picture.h, and defines what image.h
# asks for.
IMAGE_DIR := $(USERMOD_DIR)

SRC_USERMOD += $(IMAGE_DIR)/image.c
CFLAGS_USERMOD += -I$(IMAGE_DIR) -I$(IMAGE_DIR)/.. -I$(IMAGE_DIR)/../kpu
