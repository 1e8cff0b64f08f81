# The desktop's modules, for the unix port alone. MAIXPY_ARCHIVE is the static library that
# tools/maixpy makes.
ifdef MAIXPY_ARCHIVE
DESKTOP_DIR := $(USERMOD_DIR)

SRC_USERMOD += $(addprefix $(DESKTOP_DIR)/, main.c board.c kpu_port.c)
CFLAGS_USERMOD += -I$(DESKTOP_DIR) -I$(DESKTOP_DIR)/.. -I$(DESKTOP_DIR)/../image
LDFLAGS_USERMOD += $(MAIXPY_ARCHIVE) -lpthread -ldl -lm
endif
