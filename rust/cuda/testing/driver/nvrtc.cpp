// A compiler for tests: gives the text back as the code, behind a line that says what for. The driver for tests knows the
// kernels by their names.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <atomic>
#include <string>

namespace {

enum Status { SUCCESS = 0, INVALID_INPUT = 3, INVALID_OPTION = 5, COMPILATION = 6 };

const int ARCHITECTURES[] = {75, 80, 86, 89, 90, 100, 120};
const char ARCHITECTURE[] = "--gpu-architecture=";

struct Program {
    std::string text, code, log;
};

std::atomic<uint64_t> compilations{0};

Status size_of(const std::string& text, size_t* size) {
    *size = text.size() + 1;
    return SUCCESS;
}

Status copy(const std::string& text, char* to) {
    memcpy(to, text.c_str(), text.size() + 1);
    return SUCCESS;
}

}  // namespace

extern "C" {

Status nvrtcVersion(int* major, int* minor) {
    *major = 12;
    *minor = 9;
    return SUCCESS;
}

Status nvrtcGetNumSupportedArchs(int* number) {
    *number = sizeof ARCHITECTURES / sizeof *ARCHITECTURES;
    return SUCCESS;
}

Status nvrtcGetSupportedArchs(int* architectures) {
    memcpy(architectures, ARCHITECTURES, sizeof ARCHITECTURES);
    return SUCCESS;
}

const char* nvrtcGetErrorString(Status status) {
    switch (status) {
        case SUCCESS: return "NVRTC_SUCCESS";
        case INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
        case INVALID_OPTION: return "NVRTC_ERROR_INVALID_OPTION";
        default: return "NVRTC_ERROR_COMPILATION";
    }
}

Status nvrtcCreateProgram(Program** program, const char* text, const char*, int headers, const char* const*,
                          const char* const*) {
    if (headers) return INVALID_INPUT;
    *program = new Program{text, "", ""};
    return SUCCESS;
}

Status nvrtcDestroyProgram(Program** program) {
    delete *program;
    *program = nullptr;
    return SUCCESS;
}

Status nvrtcCompileProgram(Program* program, int count, const char* const* options) {
    compilations++;
    std::string target;
    bool contracts = true;
    for (int i = 0; i < count; i++) {
        if (!strncmp(options[i], ARCHITECTURE, sizeof ARCHITECTURE - 1)) target = options[i] + sizeof ARCHITECTURE - 1;
        contracts &= strcmp(options[i], "--fmad=false") != 0;
    }
    if (target.empty()) return INVALID_OPTION;
    // MIMI_TEST_COMPILER=fails: as with a text that has a mistake.
    const char* behaviour = getenv("MIMI_TEST_COMPILER");
    if (contracts || (behaviour && !strcmp(behaviour, "fails"))) {
        program->log = "common.cu(1): error: asked for by a test, or without --fmad=false\n";
        return COMPILATION;
    }
    program->code = "mimi-test " + target + "\n" + program->text;
    return SUCCESS;
}

Status nvrtcGetCUBINSize(Program* program, size_t* size) { return size_of(program->code, size); }
Status nvrtcGetCUBIN(Program* program, char* to) { return copy(program->code, to); }
Status nvrtcGetPTXSize(Program* program, size_t* size) { return size_of(program->code, size); }
Status nvrtcGetPTX(Program* program, char* to) { return copy(program->code, to); }
Status nvrtcGetProgramLogSize(Program* program, size_t* size) { return size_of(program->log, size); }
Status nvrtcGetProgramLog(Program* program, char* to) { return copy(program->log, to); }

// Texts compiled so far.
uint64_t mimi_test_compilations() { return compilations; }
}
