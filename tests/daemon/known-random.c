/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel whose random bytes are the same in every run, for LD_PRELOAD: what a sampler draws by
 * its keys can be compared between runs. The stream is splitmix64's, from a constant.
 */
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

ssize_t
getrandom(void *buffer, size_t size_bytes, unsigned int flags)
{
    static uint64_t state = 20;

    (void)flags;
    for (size_t at = 0; at < size_bytes; at += sizeof(uint64_t)) {
        size_t rest_bytes = size_bytes - at;
        uint64_t word = state += 0x9e3779b97f4a7c15;

        word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
        word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
        word ^= word >> 31;
        memcpy((char *)buffer + at, &word, rest_bytes < sizeof word ? rest_bytes : sizeof word);
    }
    return (ssize_t)size_bytes;
}
