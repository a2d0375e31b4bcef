// Random numbers that depend on nothing but their counters: Philox 4x32-10 (Salmon et al., SC 2011), and the Poisson
// background made of them.
#pragma once

#include "lanes.hpp"

#include <array>
#include <cmath>
#include <vector>

namespace netml {

// Four words from four words of counter and two of key, for N counters side by side.
template <int N>
inline void philox(uint32_t (&c)[4][N], uint32_t k0, uint32_t k1) {
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (int l = 0; l < N; ++l) {
            const uint64_t a = (uint64_t)c[0][l] * 0xD2511F53u, b = (uint64_t)c[2][l] * 0xCD9E8D57u;
            const uint32_t c1 = c[1][l], c3 = c[3][l];
            c[0][l] = (uint32_t)(b >> 32) ^ c1 ^ k0;
            c[1][l] = (uint32_t)b;
            c[2][l] = (uint32_t)(a >> 32) ^ c3 ^ k1;
            c[3][l] = (uint32_t)a;
        }
}

// Poisson events on some inputs of every cell. Counter: (gid, step low, step high, draw); key: (seed, stream).
// Draw 0: word 0 gives the number of events. Draw k: words 0, 1 and 2, 3 choose the synapse sites of events 2k - 2, 2k - 1.
struct Background {
    struct Choice {
        int32_t input, weight;      // quanta
        uint32_t keep;              // by Walker's alias method: take this one where the word is below, else the other
        int32_t other;
    };

    Background(uint32_t seed_, uint32_t stream_, double mean, std::vector<Choice> choices_, const std::vector<double>& share)
        : seed(seed_), stream(stream_), choices(std::move(choices_)) {
        double term = std::exp(-mean), below = term;
        for (int k = 1; k < 256 && below < 1 - 0x1p-33; ++k) {
            border.push_back((uint32_t)std::min(below * 0x1p32, 4294967295.0));
            term *= mean / k;
            below += term;
        }
        alias(share);
    }

    // A cell's events of a step, added to its sums by add(input, lane, weight). Returns how many.
    template <class Add>
    int64_t draw(const int64_t* gid, int lanes_used, int64_t step, Add add) const {
        uint32_t c[4][LANES];
        for (int l = 0; l < LANES; ++l) {
            c[0][l] = l < lanes_used ? (uint32_t)gid[l] : 0;
            c[1][l] = (uint32_t)step;
            c[2][l] = (uint32_t)((uint64_t)step >> 32);
            c[3][l] = 0;
        }
        philox(c, seed, stream);
        int32_t number[LANES] = {};
        for (const uint32_t b : border)
            for (int l = 0; l < LANES; ++l) number[l] += c[0][l] >= b;
        int64_t total = 0;
        for (int l = 0; l < lanes_used; ++l) {
            total += number[l];
            for (int32_t i = 0; i < number[l]; i += 2) {
                uint32_t w[4][1] = {{(uint32_t)gid[l]}, {(uint32_t)step}, {(uint32_t)((uint64_t)step >> 32)}, {(uint32_t)i / 2 + 1}};
                philox(w, seed, stream);
                for (int k = 0; k < 2 && i + k < number[l]; ++k) {
                    const Choice* chosen = &choices[(size_t)((uint64_t)w[2 * k][0] * choices.size() >> 32)];
                    if (w[2 * k + 1][0] >= chosen->keep) chosen = &choices[chosen->other];
                    add(chosen->input, l, chosen->weight);
                }
            }
        }
        return total;
    }

    uint32_t seed, stream;
    std::vector<uint32_t> border;   // a word from border[k] on means more than k events
    std::vector<Choice> choices;

private:
    void alias(const std::vector<double>& share) {
        const size_t n = choices.size();
        std::vector<double> left(n);
        double total = 0;
        for (const double s : share) total += s;
        std::vector<size_t> small, large;
        for (size_t i = 0; i < n; ++i) {
            left[i] = share[i] / total * (double)n;
            choices[i].keep = UINT32_MAX;
            choices[i].other = (int32_t)i;
            (left[i] < 1 ? small : large).push_back(i);
        }
        while (!small.empty() && !large.empty()) {
            const size_t few = small.back(), many = large.back();
            small.pop_back();
            choices[few].keep = (uint32_t)(left[few] * 0x1p32);
            choices[few].other = (int32_t)many;
            left[many] -= 1 - left[few];
            if (left[many] < 1) large.pop_back(), small.push_back(many);
        }
    }
};

}  // namespace netml
