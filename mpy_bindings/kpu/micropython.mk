# The KPU module, for any port of MicroPython that takes user C modules.
KPU_DIR := $(USERMOD_DIR)

CFLAGS_USERMOD += -I$(KPU_DIR) -I$(KPU_DIR)/.. -I$(KPU_DIR)/../include
