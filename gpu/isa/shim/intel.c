// What Mesa's shim for Intel calls from parts of Mesa that it is not linked with here. See .ci/intel-shim.
#include <stdbool.h>
#include <stdint.h>

bool debug_get_bool_option(const char *name, bool otherwise) { return otherwise; }
bool intel_get_and_process_hwconfig_table(int fd, void *info) { return false; }
bool os_get_available_system_memory(uint64_t *bytes) { return *bytes = 8ull << 30, true; }
bool os_get_total_physical_memory(uint64_t *bytes) { return *bytes = 16ull << 30, true; }
void mesa_log(int level, const char *tag, const char *format, ...) {}
uint64_t u_printf_length(const char *format, void *arguments) { return 0; }
