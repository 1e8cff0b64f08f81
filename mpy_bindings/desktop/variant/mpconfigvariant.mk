PROG = maixpy
FROZEN_MANIFEST ?= $(VARIANT_DIR)/../manifest.py

# What a board does not have either, or what Debian's source package lacks.
MICROPY_PY_BTREE = 0
MICROPY_PY_SSL = 0
MICROPY_PY_FFI = 0
MICROPY_PY_BLUETOOTH = 0

# main.c here begins the program, not the port's own.
LDFLAGS += -Wl,--wrap=main
