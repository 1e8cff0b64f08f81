# The desktop's modules. MAIXPY_ARCHIVE is the static library that tools/maixpy makes.
DESKTOP_DIR := $(USERMOD_DIR)

SRC_USERMOD += $(addprefix $(DESKTOP_DIR)/, main.c image.c board.c kpu_port.c)
CFLAGS_USERMOD += -I$(DESKTOP_DIR) -I$(DESKTOP_DIR)/..
LDFLAGS_USERMOD += $(MAIXPY_ARCHIVE) -lpthread -ldl -lm
