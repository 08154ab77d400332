// Two conversations side by side in C++: both go through one stream, one of them rests and moves on to another stream.
//
//     c++ -std=c++17 conversations.cpp $(pkg-config --cflags --libs mimi) -o conversations
//     ./conversations kyutai-mimi
#include <mimi.h>

#include <cmath>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <vector>

struct Free {
    void operator()(MimiModel *model) const { mimi_model_free(model); }
    void operator()(MimiStream *stream) const { mimi_stream_free(stream); }
};
using Model = std::unique_ptr<MimiModel, Free>;
using Stream = std::unique_ptr<MimiStream, Free>;

void check(MimiStatus status) {
    if (status != MIMI_OK) throw std::runtime_error(mimi_last_error());
}

Model load(const char *path) {
    MimiModel *model = nullptr;
    check(mimi_model_load(path, nullptr, &model));
    return Model(model);
}

Stream encoder(const Model &model, std::size_t codebooks, std::size_t rows) {
    MimiStream *stream = nullptr;
    check(mimi_stream_new(model.get(), MIMI_TO_CODES, codebooks, rows, &stream));
    return Stream(stream);
}

// Adds what a row was given last to its codes.
void collect(const Stream &stream, std::size_t row, std::size_t codebooks, std::vector<uint32_t> &codes) {
    const uint32_t *given = nullptr;
    std::size_t frames = 0;
    check(mimi_stream_codes(stream.get(), row, &given, &frames));
    codes.insert(codes.end(), given, given + frames * codebooks);
}

std::vector<float> tone(std::size_t samples, float step) {
    std::vector<float> pcm(samples);
    for (std::size_t i = 0; i < samples; i++) pcm[i] = 0.3f * std::sin(step * static_cast<float>(i));
    return pcm;
}

int main(int argc, char **argv) try {
    const std::size_t codebooks = 4;
    Model model = load(argc > 1 ? argv[1] : "kyutai-mimi");
    const std::size_t frame = mimi_model_frame_size(model.get());
    const std::vector<float> clips[] = {tone(6 * frame, 0.03f), tone(6 * frame, 0.05f)};
    std::vector<uint32_t> codes[2];

    // Three frames of both; the second rests for one of them.
    Stream both = encoder(model, codebooks, 2);
    for (std::size_t t = 0; t < 3; t++) {
        const float *pcm[] = {&clips[0][t * frame], t == 1 ? nullptr : &clips[1][(t == 2) * frame]};
        const std::size_t samples[] = {frame, frame};
        check(mimi_stream_push_pcm(both.get(), pcm, samples));
        for (std::size_t row = 0; row < 2; row++) collect(both, row, codebooks, codes[row]);
    }

    // The second goes on alone, in a stream of one row.
    Stream alone = encoder(model, codebooks, 1);
    const std::size_t second[] = {1};
    MimiBytes state = {};
    check(mimi_stream_save(both.get(), second, 1, &state));
    const MimiStatus loaded = mimi_stream_load(alone.get(), state.data, state.length, nullptr, 0);
    mimi_bytes_free(&state);
    check(loaded);
    const float *rest[] = {&clips[1][2 * frame]};
    const std::size_t samples[] = {4 * frame};
    check(mimi_stream_push_pcm(alone.get(), rest, samples));
    collect(alone, 0, codebooks, codes[1]);

    // It has the codes of the whole clip.
    MimiCodes whole = {};
    check(mimi_encode(model.get(), clips[1].data(), clips[1].size(), codebooks, MIMI_PADDING_TRANSFORMERS, &whole));
    const bool equal = codes[1] == std::vector<uint32_t>(whole.data, whole.data + whole.frames * codebooks);
    mimi_codes_free(&whole);
    std::cout << codes[1].size() / codebooks << " frames, " << (equal ? "as" : "not as") << " in one piece\n";
    return equal ? 0 : 1;
} catch (const std::exception &error) {
    std::cerr << "conversations: " << error.what() << '\n';
    return 1;
}
