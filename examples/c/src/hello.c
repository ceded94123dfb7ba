#include <stdio.h>
#include <string.h>
#include <zlib.h>

int main(void) {
    const char *text = "hello from the runtime image";
    printf("%s %s: crc32 %08lx\n", text, VERSION, crc32(0, (const Bytef *)text, strlen(text)));
}
