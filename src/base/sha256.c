#include "base/sha256.h"

#include <openssl/evp.h>

#define PIECE ((size_t)8 << 20)

static fv_status digest(const uint8_t *data, size_t bytes, const fv_map *drop, char hex[FV_SHA256_HEX], fv_error *err) {
  static const char digits[] = "0123456789abcdef";
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned int n = 0;
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  bool good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
  for (size_t at = 0; good && at < bytes;) {
    size_t k = bytes - at < PIECE ? bytes - at : PIECE;
    good = EVP_DigestUpdate(ctx, data + at, k) == 1;
    if (drop) fv_map_drop(drop, data + at, k);
    at += k;
  }
  good = good && EVP_DigestFinal_ex(ctx, raw, &n) == 1 && n == 32;
  EVP_MD_CTX_free(ctx);
  if (!good) return fv_fail(err, FV_ENOMEM, "the SHA-256 of libcrypto could not be computed");
  for (unsigned int i = 0; i < n; i++) {
    hex[2 * i] = digits[raw[i] >> 4];
    hex[2 * i + 1] = digits[raw[i] & 15];
  }
  hex[64] = '\0';
  return FV_OK;
}

fv_status fv_sha256_bytes(const void *data, size_t bytes, char hex[FV_SHA256_HEX], fv_error *err) {
  return digest(data, bytes, NULL, hex, err);
}

fv_status fv_sha256_map(const fv_map *map, char hex[FV_SHA256_HEX], fv_error *err) {
  return digest(map->data, map->size, map, hex, err);
}

fv_status fv_sha256_file(const char *path, char hex[FV_SHA256_HEX], fv_error *err) {
  fv_map map;
  fv_status st = fv_map_open(path, &map, err);
  if (st) return st;
  st = fv_sha256_map(&map, hex, err);
  fv_map_close(&map);
  return st ? fv_fail_prefix(err, st, "%s", path) : FV_OK;
}
