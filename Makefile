# The commands of the README: `make train`, `make test`, `make quick`. Each sets up what it needs.

# lavapipe compiles shaders at their first dispatch; its cache makes that a matter of milliseconds the next time.
export MESA_SHADER_CACHE_DIR ?= $(CURDIR)/.cache/mesa

.PHONY: build man mpi train test quick test-mpi test-clients test-dx12 fxc isa host texts metal tint mixed conformance chaos soak fuzz lint
.PHONY: test-dashboard web test-web soak-web test-js reproduce dist dist-check setup clean

build: setup
	go build -o gpt2wgpu ./cmd/gpt2wgpu

# The manual page, build/gpt2wgpu.1, from the same table of commands and flags as the help.
man: build
	@mkdir -p build
	./gpt2wgpu help --man >build/gpt2wgpu.1

# The same program for several processes, started by mpirun. Installs Open MPI with apt-get where it is missing. MPICC is the
# compiler of the MPI to use: its own flags find it.
MPICC ?= mpicc
mpi: setup
	@bash .ci/setup mpi
	CC=$(MPICC) go build -tags mpi -o gpt2wgpu ./cmd/gpt2wgpu

setup:
	@bash .ci/setup
	@mkdir -p $(MESA_SHADER_CACHE_DIR)

# A small byte-level model on the embedded sample text: about a minute on two cores of software Vulkan. Each time it is a new
# run, in runs/tiny-1, runs/tiny-2 and so on.
train: build
	./gpt2wgpu train

# Everything that this machine can test: without a GPU the device's tests are skipped with the reason, unless
# GPT2WGPU_GPU=require makes that a failure.
test: setup
	go test -timeout 60m ./...

# What needs no GPU, in under a minute once it is built: references, programs as plans, data, files, flags. No device has the
# name, so tests that want one are skipped; -short leaves out what takes many seconds.
quick:
	GPT2WGPU_GPU= GPT2WGPU_DEVICE=none go test -short ./...

# Several ranks on this machine: equality with one rank, resuming with another number, a rank that dies. Installs Open MPI
# with apt-get where it is missing.
test-mpi: setup
	@bash .ci/setup mpi
	CC=$(MPICC) go test -tags mpi -timeout 20m -count 1 ./train/mpi

# Our files held against the libraries that others use, transformers, tokenizers, pyarrow, safetensors and numpy, which a venv below
# build/ gets by pip: what we write they read, and what they write we read. PyTorch comes from Debian's package.
test-clients: setup
	@bash .ci/clients

# The dashboard's page in headless Chromium: keys, mouse, three widths in light and dark, ten runs that grow. Pictures go to
# build/dashboard. Installs Debian's chromium and npm with apt-get where they are missing; npm brings playwright-core.
test-dashboard: setup
	@bash .ci/dashboard

# What Mesa's drivers make of the kernels of a 124M step on GPUs of AMD and Intel that are not here: registers, spills, workgroup
# memory, waves, and the bound of each. ISA has flags of cmd/isa: make isa ISA="-families navi21 -kernel matmul_tiled". Installs
# Vulkan's headers and Mesa with apt-get where they are missing; Mesa 25 and what makes up Intel's devices go below build/.
ISA ?=
isa:
	@bash .ci/isa $(ISA)

# What the host takes to encode and to submit a 124M step, on made-up devices that do nothing.
host: setup
	@bash .ci/host

# Every kernel text that any target can use, a file each below OUT, and OUT/index.json: which target has it by default, and for
# which tuning may choose it.
OUT ?= build/texts
texts: setup
	go run ./cmd/isa texts $(OUT)

# The texts as Metal gets them, and whether LLVM proves their reads of workgroup memory to be in bounds. Installs clang 16 with
# apt-get where it is missing; needs cargo.
metal: setup
	@bash .ci/metal

# The page of web/ and its program in web/dist, for any static server (see web/README.md).
web:
	@bash .ci/web

# The page in Debian's Chromium, on SwiftShader: a run that is stopped, reloaded and killed has the bits of a native one; its download
# is read natively and loaded again; every kernel once. Ends in `N passed, N failed`; screenshots are in build/web-test/out.
test-web: build web
	@bash .ci/browser page

# The whole self-test in a tab, and ten minutes of training (SOAK_WEB) with flat memory.
SOAK_WEB ?= 10
soak-web: web
	@bash .ci/browser soak $(SOAK_WEB)

# What a browser runs, tested in Node with npm's webgpu (Dawn) on lavapipe of Mesa 25, and without a browser.
test-js: setup
	bash .ci/js

# The texts of `make texts` through Tint, the compiler of Chromium's WebGPU, which npm's webgpu has.
tint: texts
	bash .ci/tint $(OUT)

# Two vendors in one run, without a GPU: lavapipe and SwiftShader, taken from Debian's chromium-common where there is none.
mixed: setup
	@bash .ci/setup mpi
	GPT2WGPU_SWIFTSHADER=$$(bash .ci/swiftshader) CC=$(MPICC) go test -tags mpi -timeout 20m -count 1 -v -run '^TestTwoVendors$$' ./train/mpi

# The self-test and short training runs on every software Vulkan device: lavapipe, and SwiftShader, which .ci/swiftshader takes
# out of Debian's chromium package where it is missing; and gpu/op's tests with every case, of which `make test` leaves some out
# on software devices. No part of `make test`: a quarter of an hour on two cores.
conformance: build
	bash .ci/conformance

# A supervised run for ten minutes (CHAOS) under random SIGKILL, SIGABRT, SIGSEGV and SIGSTOP, full disks and truncated files. At
# the end its losses and weights are those of a run that was left alone, bit for bit.
CHAOS ?= 10m
chaos: setup
	GPT2WGPU_CHAOS=$(CHAOS) GPT2WGPU_GPU=require go test -timeout 3h -count 1 -v -run '^TestRandomEnds$$' ./cmd/gpt2wgpu

# A supervised run for half an hour (SOAK) that validates, samples and saves all the time: memory, threads and open files of both
# processes must not grow.
SOAK ?= 30m
soak: setup
	GPT2WGPU_SOAK=$(SOAK) GPT2WGPU_GPU=require go test -timeout 25h -count 1 -v -run '^TestSoak$$' ./cmd/gpt2wgpu

# Every fuzz test of a reader of files for a minute (FUZZ), which takes as many minutes as there are. A finding is left in
# testdata/fuzz of its package, and is a test from then on.
FUZZ ?= 1m
fuzz:
	bash .ci/fuzz $(FUZZ)

# The Windows build on DX12 under Wine, with Microsoft's FXC: the self-test, short trainings against Vulkan's losses, a sample,
# and FXC's CPU seconds for every pipeline. No part of `make test`: FXC needs many minutes the first time.
test-dx12: setup
	bash .ci/dx12

# FXC by itself on the texts that DX12 uses: CPU seconds, registers, indexable temporaries. PART has parts of their names, and
# the word default for what is used without tuning.
fxc: texts
	bash .ci/fxc $(OUT) $(PART)

# The same texts through DXC, DX12's newer compiler, and its validator: only whether they compile.
dxc: texts
	bash .ci/dxc $(OUT) $(PART)

# The archives of a release in build/dist, with SHA256SUMS. A system whose C compiler is not here is left out.
dist: setup
	bash .ci/dist

# The same archives tried as their users will: made twice, installed by go install, under Wine and under qemu. Installs C compilers
# and Wine with apt-get where they are missing; qemu and what makes up arm64 go below build/. SELFTEST has the flags of the self-test
# under Wine: SELFTEST= runs the whole of it, for minutes.
dist-check: setup
	bash .ci/dist-check

lint: setup
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "gofmt would change these files"; exit 1; }
	go vet ./...

# All 50 steps of the reference document's first run on tiny shakespeare, compared with PyTorch's losses: about three minutes on
# two cores. TEXT names the text (1,115,394 bytes, karpathy/char-rnn's tinyshakespeare/input.txt).
TEXT ?= ../shared/data/tinyshakespeare.txt
reproduce: setup
	GPT2WGPU_REPRODUCE=$(abspath $(TEXT)) GPT2WGPU_GPU=require go test -timeout 60m -count 1 -v -run '^TestFirstSteps$$' ./train

clean:
	rm -rf gpt2wgpu build .cache
