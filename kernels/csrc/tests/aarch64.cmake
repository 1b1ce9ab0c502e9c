# Cross-compiles for 64-bit ARM with Debian's g++-aarch64-linux-gnu, and runs tests with qemu-user: see aarch64.sh.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)  # the emulator then needs no folder of ARM libraries
