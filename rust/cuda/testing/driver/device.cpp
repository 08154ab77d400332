// Devices, their contexts, the kernels loaded on them, and launches.

#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <memory>

extern "C" {
// The kernels, compiled for the host.
int mimi_host_launch(const char* name, const uint32_t grid[3], const uint32_t threads[3], uint32_t shared,
                     const void* arguments);
uint64_t mimi_host_arguments(const char* name);
}

thread_local Context* current = nullptr;

namespace {

const int VERSION = 12090, MOST_DEVICES = 16;
// Bytes that a block has without asking, and what each kernel is taken to have of its own before what a launch adds.
const unsigned SHARED = 48 << 10, SHARED_OF_KERNEL = 1 << 10;
const int SHARED_SIZE_BYTES = 1, MAX_DYNAMIC_SHARED_SIZE_BYTES = 8;

bool initialized = false;
Context contexts[MOST_DEVICES];

struct Function {
    std::string name;
    size_t arguments;
    unsigned shared = SHARED - SHARED_OF_KERNEL;
};

struct Module {
    std::vector<std::unique_ptr<Function>> functions;
};

int from_environment(const char* variable, int otherwise) {
    const char* text = getenv(variable);
    return text ? atoi(text) : otherwise;
}

// As 90 for 9.0.
int capability() { return from_environment("MIMI_TEST_CAPABILITY", 90); }

// Bytes of shared memory that a block of this architecture can ask for.
unsigned shared_if_asked_for() {
    switch (capability()) {
        case 75: return 64 << 10;
        case 80: case 87: return 163 << 10;
        case 90: case 100: case 103: return 227 << 10;
        default: return 99 << 10;
    }
}

int devices() { return from_environment("MIMI_TEST_DEVICES", 4); }

}  // namespace

Result use_context() {
    if (!initialized) return NOT_INITIALIZED;
    if (!current || !current->retained) return INVALID_CONTEXT;
    return current->lost;
}

extern "C" {

Result cuInit(unsigned) {
    Lock lock(everything);
    if (devices() < 1) return NO_DEVICE;
    initialized = true;
    return SUCCESS;
}

Result cuDriverGetVersion(int* version) {
    *version = from_environment("MIMI_TEST_VERSION", VERSION);
    return SUCCESS;
}

// NVRTC asks whatever `libcuda.so.1` it finds for the tables by which it shares the driver's cache of what was
// compiled. Told that there are none, it goes on without the cache. Where a driver lacks this function, which real ones
// have, NVRTC 12.9 to 13.5 end the process: they read what they did not get.
Result cuGetExportTable(const void** table, const void*) {
    *table = nullptr;
    return NOT_FOUND;
}

Result cuGetErrorName(Result error, const char** name) {
    switch (error) {
        case INVALID_VALUE: *name = "CUDA_ERROR_INVALID_VALUE"; break;
        case OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
        case NO_DEVICE: *name = "CUDA_ERROR_NO_DEVICE"; break;
        case INVALID_IMAGE: *name = "CUDA_ERROR_INVALID_IMAGE"; break;
        case INVALID_CONTEXT: *name = "CUDA_ERROR_INVALID_CONTEXT"; break;
        case NO_BINARY_FOR_GPU: *name = "CUDA_ERROR_NO_BINARY_FOR_GPU"; break;
        case NOT_FOUND: *name = "CUDA_ERROR_NOT_FOUND"; break;
        case ILLEGAL_ADDRESS: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; break;
        case LAUNCH_OUT_OF_RESOURCES: *name = "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"; break;
        case LAUNCH_FAILED: *name = "CUDA_ERROR_LAUNCH_FAILED"; break;
        case STREAM_CAPTURE_UNSUPPORTED: *name = "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"; break;
        case STREAM_CAPTURE_INVALIDATED: *name = "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"; break;
        default: return INVALID_VALUE;
    }
    return SUCCESS;
}

Result cuGetErrorString(Result, const char** text) {
    *text = "from the driver for tests";
    return SUCCESS;
}

Result cuDeviceGetCount(int* count) {
    if (!initialized) return NOT_INITIALIZED;
    *count = devices();
    return SUCCESS;
}

Result cuDeviceGet(int* device, int ordinal) {
    if (ordinal < 0 || ordinal >= devices() || ordinal >= MOST_DEVICES) return INVALID_DEVICE;
    *device = ordinal;
    return SUCCESS;
}

Result cuDeviceGetName(char* name, int length, int device) {
    snprintf(name, size_t(length), "driver for tests, device %d", device);
    return SUCCESS;
}

Result cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case 16: *value = 132; return SUCCESS;  // multiprocessors
        case 75: *value = capability() / 10; return SUCCESS;
        case 76: *value = capability() % 10; return SUCCESS;
        case 97: *value = int(shared_if_asked_for()); return SUCCESS;
        default: return INVALID_VALUE;
    }
}

Result cuDevicePrimaryCtxRetain(Context** context, int device) {
    Lock lock(everything);
    if (!initialized) return NOT_INITIALIZED;
    *context = &contexts[device];
    (*context)->device = device;
    (*context)->retained++;
    alive("context", 1);
    return SUCCESS;
}

Result cuDevicePrimaryCtxRelease_v2(int device) {
    Lock lock(everything);
    if (!contexts[device].retained) return INVALID_CONTEXT;
    if (--contexts[device].retained == 0) contexts[device].lost = SUCCESS;
    alive("context", -1);
    return SUCCESS;
}

Result cuCtxSetCurrent(Context* context) {
    current = context;
    return SUCCESS;
}

// The image is what the compiler for tests makes: its first line names the architecture.
Result cuModuleLoadData(Module** module, const void* image) {
    Lock lock(everything);
    count(__func__);
    if (Result error = use_context()) return error;
    char first[64];
    snprintf(first, sizeof first, "mimi-test sm_%d\n", capability());
    const char* text = static_cast<const char*>(image);
    if (strncmp(text, "mimi-test ", 10)) return INVALID_IMAGE;
    char ptx[64];
    snprintf(ptx, sizeof ptx, "mimi-test compute_%d\n", capability());
    if (strncmp(text, first, strlen(first)) && strncmp(text, ptx, strlen(ptx))) return NO_BINARY_FOR_GPU;
    *module = new Module;
    alive("module", 1);
    return SUCCESS;
}

Result cuModuleUnload(Module* module) {
    Lock lock(everything);
    if (Result error = use_context()) return error;
    delete module;
    alive("module", -1);
    return SUCCESS;
}

Result cuModuleGetFunction(Function** function, Module* module, const char* name) {
    Lock lock(everything);
    if (Result error = use_context()) return error;
    size_t arguments = mimi_host_arguments(name);
    if (!arguments) return NOT_FOUND;
    module->functions.push_back(std::make_unique<Function>(Function{name, arguments}));
    *function = module->functions.back().get();
    return SUCCESS;
}

Result cuFuncGetAttribute(int* value, int attribute, Function*) {
    if (attribute != SHARED_SIZE_BYTES) return INVALID_VALUE;
    *value = SHARED_OF_KERNEL;
    return SUCCESS;
}

Result cuFuncSetAttribute(Function* function, int attribute, int value) {
    Lock lock(everything);
    if (Result error = use_context()) return error;
    if (attribute != MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0) return INVALID_VALUE;
    if (unsigned(value) > shared_if_asked_for() - SHARED_OF_KERNEL) return INVALID_VALUE;
    function->shared = unsigned(value);
    return SUCCESS;
}

Result cuLaunchKernel(Function* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                      unsigned shared, void* stream, void** parameters, void** extra) {
    Lock lock(everything);
    count(__func__);
    if (Result error = use_context()) return error;
    uint64_t threads = uint64_t(bx) * by * bz;
    bool is_empty = !gx || !gy || !gz || !threads;
    if (is_empty || threads > 1024 || bz > 64 || gx > 0x7fffffffu || gy > 65535 || gz > 65535) return INVALID_VALUE;
    if (shared > function->shared || extra || !parameters) return INVALID_VALUE;
    if (is_to_fail("launch")) return LAUNCH_OUT_OF_RESOURCES;
    const char* start = static_cast<const char*>(parameters[0]);
    auto arguments = std::make_shared<std::vector<char>>(start, start + function->arguments);
    std::string name = function->name;
    return put(stream, [=] {
        trace(name.c_str());
        const uint32_t grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
        if (mimi_host_launch(name.c_str(), grid, block, shared, arguments->data())) return LAUNCH_FAILED;
        check_guards(name.c_str());
        return SUCCESS;
    });
}
}
