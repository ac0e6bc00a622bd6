/* SPDX-License-Identifier: BSD-3-Clause */
/** Inside the module: sums of 16-bit words as they lie in memory (RFC 1071), not yet folded. */
#ifndef DT_VNET_SUM_H
#define DT_VNET_SUM_H

#include <stdint.h>
#include <string.h>

#include <rte_byteorder.h>

#ifdef __AVX512BW__
#include <immintrin.h>
#endif

/** To 16 bits; zero only if all that was added was zero. */
static inline uint16_t
dt_sum_fold(uint64_t sum)
{
	uint32_t word;

	sum = (sum >> 32) + (uint32_t)sum;
	word = (uint32_t)(sum + (sum >> 32));
	/* Both halves to the upper one, and the carry out of the lower one with them. */
	return (uint16_t)((word + (word >> 16 | word << 16)) >> 16);
}

/** The same bytes one place further. */
static inline uint64_t
dt_sum_shift(uint64_t sum)
{
	return rte_bswap16(dt_sum_fold(sum));
}

/* Wide words in a plain loop: compilers make the widest vectors of it that the target has. */
static inline uint64_t
dt_sum_plain(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	uint64_t sum = 0;
	uint32_t word;
	uint16_t half;

	for (; len >= sizeof(word); len -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		sum += word;
	}
	if ((len & 2) != 0) {
		memcpy(&half, at, sizeof(half));
		sum += half;
		at += sizeof(half);
	}
	if ((len & 1) != 0) {
		half = 0;
		memcpy(&half, at, 1);
		sum += half;
	}
	return sum;
}

#ifdef __AVX512BW__

/* Both halves of each 64-bit lane. */
static inline void
dt_sum_lanes(__m512i *low, __m512i *high, __m512i lanes)
{
	*low = _mm512_add_epi64(*low, _mm512_and_si512(lanes, _mm512_set1_epi64(UINT32_MAX)));
	*high = _mm512_add_epi64(*high, _mm512_srli_epi64(lanes, 32));
}

/*
 * By whole cache lines, each of which is loaded once, with what is not ours masked out of the first and the last. It
 * takes two thirds of the time of what compilers make of the loop above, whose loads lie across lines.
 */
static inline uint64_t
dt_sum_lines(const void *bytes, size_t len)
{
	const uint8_t *begin = bytes, *end = begin + len;
	const uint8_t *at = (const uint8_t *)((uintptr_t)begin & ~(uintptr_t)63);
	__mmask64 ours = ~0ULL << ((uintptr_t)begin & 63);
	__m512i low = _mm512_setzero_si512(), high = low, low2 = low, high2 = low;
	uint64_t sum;

	if (end < at + 64)
		ours &= (1ULL << (end - at)) - 1;
	dt_sum_lanes(&low, &high, _mm512_maskz_loadu_epi8(ours, at));
	for (at += 64; at + 128 <= end; at += 128) {
		dt_sum_lanes(&low, &high, _mm512_load_si512(at));
		dt_sum_lanes(&low2, &high2, _mm512_load_si512(at + 64));
	}
	if (at + 64 <= end) {
		dt_sum_lanes(&low, &high, _mm512_load_si512(at));
		at += 64;
	}
	if (at < end)
		dt_sum_lanes(&low2, &high2, _mm512_maskz_loadu_epi8((1ULL << (end - at)) - 1, at));
	low = _mm512_add_epi64(_mm512_add_epi64(low, low2), _mm512_add_epi64(high, high2));
	sum = (uint64_t)_mm512_reduce_add_epi64(low);
	/* From an odd address each byte was in the other half of its word. */
	return ((uintptr_t)begin & 1) != 0 ? dt_sum_shift(sum) : sum;
}

#endif

/** Add up @p len bytes; an odd last one counts as if a zero followed. */
static inline uint64_t
dt_sum(const void *bytes, size_t len)
{
#ifdef __AVX512BW__
	return dt_sum_lines(bytes, len);
#else
	return dt_sum_plain(bytes, len);
#endif
}

/** Add up @p len bytes and copy them, in one pass. */
static inline uint64_t
dt_sum_copy(void *restrict to, const void *restrict from, size_t len)
{
	uint8_t *restrict out = to;
	const uint8_t *restrict in = from;
	size_t n_words = len / sizeof(uint32_t), rest = len % sizeof(uint32_t);
	uint64_t sum = 0;
	uint32_t word;

	for (size_t i = 0; i < n_words; i++) {
		memcpy(&word, in + i * sizeof(word), sizeof(word));
		memcpy(out + i * sizeof(word), &word, sizeof(word));
		sum += word;
	}
	in += n_words * sizeof(word);
	out += n_words * sizeof(word);
	for (size_t i = 0; i < rest; i++)
		out[i] = in[i];
	return sum + dt_sum_plain(in, rest);
}

/** A number as it would lie in memory. */
static inline uint64_t
dt_sum_of(uint32_t number)
{
	return rte_cpu_to_be_32(number);
}

#endif
