# What a person types. Each target installs what it needs first (scripts/setup.sh).

SECONDS ?= 60
FUZZ_TARGETS ?= $(patsubst fuzz/fuzz_targets/%.rs,%,$(wildcard fuzz/fuzz_targets/*.rs))

.PHONY: accuracy help emulated setup setup-chip setup-desktop demo maixpy build test check bench docs fuzz firmware-lib firmware link-test chip-test chip-counts emu-demo emu-test litert registry-models exported-graphs

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Of the chip's library; firmware,canmv for CanMV.
FEATURES ?= firmware

# Cargo's options for the chip.
CHIP_TARGET = --profile chip --target targets/k210.json -Zjson-target-spec
CHIP = $(CHIP_TARGET) -Zbuild-std=core
CHIP_ALLOC = $(CHIP_TARGET) -Zbuild-std=core,alloc

setup:
	@scripts/setup.sh rust

setup-desktop:
	@scripts/setup.sh rust desktop

setup-chip:
	@scripts/setup.sh chip

demo: maixpy ## reads ten handwritten digits, by the command line and by a MaixPy script
	cargo build --release -p kmodel
	target/release/kmodel info examples/mnist/mnist_uint8.kmodel
	target/release/kmodel run examples/mnist/mnist_uint8.kmodel --top 2 \
	    --input examples/mnist/pictures/7_0.png
	@mkdir -p target/demo
	target/release/maixpy --flash 0x300000=examples/mnist/mnist_uint8.kmodel \
	    --flash 0x400000=examples/mnist/mnist_float.kmodel --sd examples/mnist/pictures \
	    --spiffs target/demo examples/mnist/digits.py
	@echo "what the script saw: target/demo/digits.bmp"

maixpy: setup-desktop ## the desktop program, target/release/maixpy
	scripts/maixpy.sh

build: maixpy ## all programs, in target/release/
	cargo build --release --workspace --bins

test: setup-desktop ## all tests
	PROFILE=debug scripts/maixpy.sh
	cargo test --workspace

accuracy: setup-desktop ## accuracy of the examples on all data that training has not seen
	scripts/accuracy.sh

litert: setup ## compares compiled models with LiteRT, TensorFlow Lite's own interpreter
	scripts/litert.sh
	cargo test --release -p kmodel-compiler --test pairs -- --nocapture

registry-models: setup ## fetches trained models from the registries of Python and npm and compiles them
	scripts/litert.sh
	scripts/registry-models.sh
	cargo test --release -p kmodel-compiler --test registry -- --ignored --nocapture --test-threads=1 trained

exported-graphs: setup ## compiles graphs as tf.keras and PyTorch export them
	@scripts/setup.sh torch
	scripts/litert.sh
	scripts/exported-graphs.sh
	cargo test --release -p kmodel-compiler --test registry -- --ignored --nocapture exported

check: setup-chip ## format, lints, documentation
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTC_BOOTSTRAP=1 cargo clippy -p maix-kpu --lib --features firmware $(CHIP) -- -D warnings
	RUSTC_BOOTSTRAP=1 cargo clippy -p on-chip $(CHIP) -- -D warnings
	RUSTC_BOOTSTRAP=1 cargo clippy -p maix-image $(CHIP_ALLOC) -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps

bench: setup ## benchmarks; docs/performance.md tells how to read them
	cargo bench --workspace

docs: setup ## the API's documentation, in target/doc/
	cargo doc --workspace --no-deps

fuzz: ## each fuzz target for SECONDS=60
	@scripts/setup.sh fuzz
	cargo run --quiet -p kmodel-samples --bin seeds fuzz/seeds
	SEEDS=$(CURDIR)/fuzz/seeds cargo test --quiet -p kmodel-compiler --test onnx --test operators
	@for target in $(FUZZ_TARGETS); do \
	    echo "fuzz: $$target, $(SECONDS) s"; \
	    mkdir -p fuzz/corpus/$$target; \
	    RUSTC_BOOTSTRAP=1 cargo fuzz run $$target fuzz/corpus/$$target fuzz/seeds -- \
	        -max_total_time=$(SECONDS) -print_final_stats=1 -timeout=30 || exit 1; \
	done

firmware-lib: setup-chip ## the chip's library, target/firmware/libmaix_kpu.a
	scripts/firmware-lib.sh maix-kpu targets/k210-symbols.txt --features $(FEATURES) $(CHIP)

firmware: firmware-lib setup-desktop ## our own MicroPython for the chip, target/firmware/micropython-k210.elf and .bin
	scripts/firmware-lib.sh maix-image mpy_bindings/image/symbols.txt $(CHIP_ALLOC)
	scripts/firmware.sh

link-test: firmware-lib ## links the chip's library as a firmware does; its size by room
	tests/firmware_link/run.sh

chip-test: setup-chip ## layers and kernels on the emulated chip give what they give on the PC
	tests/on_chip/run.sh $(CHIP)

chip-counts: chip-test emulated ## instructions on the emulated chip: kernels, and whole models
	tests/on_chip/counts.sh

emulated: firmware maixpy
	cargo build --release -p k210-emu

emu-demo: emulated ## reads ten handwritten digits on the emulated K210, the KPU doing the convolutions
	examples/mnist/emulated.sh

emu-test: emulated ## scripts, models and recorded dialogues on the emulated K210 as on the PC
	cargo test --release -p k210-emu --test firmware -- --nocapture
