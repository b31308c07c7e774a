// A Vulkan driver in front of RADV on its null device, which compiles for a GPU that is not there. wgpu does not open that
// device: it has no timeline semaphores and no memory types. This one has both, as empty shells; commands and submissions
// do nothing; vkCreateComputePipelines and all else goes to RADV, whose file SHIM_ICD names.
//   cc -shared -fPIC -O1 -o libshim.so radv.c -ldl       (Debian: libvulkan-dev)
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan.h>

typedef PFN_vkVoidFunction (*Lookup)(VkInstance, const char *);
static Lookup instanceProc, physicalProc;
static VkResult (*negotiate)(uint32_t *);
static PFN_vkGetDeviceProcAddr deviceProc;

static void load(void) {
  if (instanceProc) return;
  const char *file = getenv("SHIM_ICD");
  void *lib = file ? dlopen(file, RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!lib) {
    fprintf(stderr, "shim: cannot load SHIM_ICD: %s\n", file ? dlerror() : "it is not set");
    exit(1);
  }
  instanceProc = (Lookup)dlsym(lib, "vk_icdGetInstanceProcAddr");
  physicalProc = (Lookup)dlsym(lib, "vk_icdGetPhysicalDeviceProcAddr");
  negotiate = (VkResult(*)(uint32_t *))dlsym(lib, "vk_icdNegotiateLoaderICDInterfaceVersion");
}

static void nothing(void) {}
static VkResult success(void) { return VK_SUCCESS; }

static VkResult createSemaphore(VkDevice d, const VkSemaphoreCreateInfo *i, const VkAllocationCallbacks *a, VkSemaphore *s) {
  static uint64_t handles = 0x1000;
  *s = (VkSemaphore)(handles += 16);
  return VK_SUCCESS;
}
static VkResult counterValue(VkDevice d, VkSemaphore s, uint64_t *value) { // all submissions have ended
  *value = ~0ull >> 1;
  return VK_SUCCESS;
}

static void memoryProperties(VkPhysicalDevice d, VkPhysicalDeviceMemoryProperties *p) {
  memset(p, 0, sizeof *p);
  p->memoryHeapCount = 1;
  p->memoryHeaps[0].size = 64ull << 30;
  p->memoryHeaps[0].flags = VK_MEMORY_HEAP_DEVICE_LOCAL_BIT;
  p->memoryTypeCount = 2;
  p->memoryTypes[0].propertyFlags = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
  p->memoryTypes[1].propertyFlags = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT |
                                    VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
}
static void memoryProperties2(VkPhysicalDevice d, VkPhysicalDeviceMemoryProperties2 *p) { memoryProperties(d, &p->memoryProperties); }
static void requirements(VkDevice d, VkBuffer b, VkMemoryRequirements *r) {
  ((PFN_vkGetBufferMemoryRequirements)deviceProc(d, "vkGetBufferMemoryRequirements"))(d, b, r);
  r->memoryTypeBits = 3;
}
static void requirements2(VkDevice d, const VkBufferMemoryRequirementsInfo2 *b, VkMemoryRequirements2 *r) {
  requirements(d, b->buffer, &r->memoryRequirements);
}
static VkResult allocate(VkDevice d, const VkMemoryAllocateInfo *i, const VkAllocationCallbacks *a, VkDeviceMemory *m) {
  *m = (VkDeviceMemory)calloc(1, i->allocationSize); // zeros: .ci/host reads a loss
  return VK_SUCCESS;
}
static void release(VkDevice d, VkDeviceMemory m, const VkAllocationCallbacks *a) { free((void *)m); }
static VkResult map(VkDevice d, VkDeviceMemory m, VkDeviceSize at, VkDeviceSize size, VkMemoryMapFlags f, void **p) {
  *p = (char *)m + at;
  return VK_SUCCESS;
}

static PFN_vkVoidFunction own(const char *name);
static PFN_vkVoidFunction fromDevice(VkDevice d, const char *name) {
  PFN_vkVoidFunction f = own(name);
  return f ? f : deviceProc(d, name);
}

#define F(f) (PFN_vkVoidFunction) f
static const struct { const char *name; PFN_vkVoidFunction f; } ours[] = {
  {"vkGetDeviceProcAddr", F(fromDevice)}, {"vkCreateSemaphore", F(createSemaphore)}, {"vkDestroySemaphore", nothing},
  {"vkWaitSemaphores", F(success)}, {"vkWaitSemaphoresKHR", F(success)}, {"vkSignalSemaphore", F(success)},
  {"vkSignalSemaphoreKHR", F(success)}, {"vkGetSemaphoreCounterValue", F(counterValue)},
  {"vkGetSemaphoreCounterValueKHR", F(counterValue)}, {"vkQueueSubmit", F(success)}, {"vkGetFenceStatus", F(success)},
  {"vkWaitForFences", F(success)}, {"vkQueueWaitIdle", F(success)}, {"vkDeviceWaitIdle", F(success)},
  {"vkGetPhysicalDeviceMemoryProperties", F(memoryProperties)},
  {"vkGetPhysicalDeviceMemoryProperties2", F(memoryProperties2)},
  {"vkGetPhysicalDeviceMemoryProperties2KHR", F(memoryProperties2)},
  {"vkGetBufferMemoryRequirements", F(requirements)}, {"vkGetBufferMemoryRequirements2", F(requirements2)},
  {"vkGetBufferMemoryRequirements2KHR", F(requirements2)}, {"vkAllocateMemory", F(allocate)}, {"vkFreeMemory", F(release)},
  {"vkMapMemory", F(map)}, {"vkUnmapMemory", nothing}, {"vkBindBufferMemory", F(success)},
  {"vkBindBufferMemory2", F(success)}, {"vkFlushMappedMemoryRanges", F(success)},
  {"vkInvalidateMappedMemoryRanges", F(success)}, {"vkBeginCommandBuffer", F(success)},
  {"vkEndCommandBuffer", F(success)}, {"vkResetCommandPool", F(success)}, {"vkUpdateDescriptorSets", nothing},
};
static PFN_vkVoidFunction own(const char *name) {
  for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
    if (!strcmp(name, ours[i].name)) return ours[i].f;
  return strncmp(name, "vkCmd", 5) ? NULL : nothing;
}

PFN_vkVoidFunction vk_icdGetInstanceProcAddr(VkInstance i, const char *name) {
  load();
  if (i && !deviceProc) deviceProc = (PFN_vkGetDeviceProcAddr)instanceProc(i, "vkGetDeviceProcAddr");
  PFN_vkVoidFunction f = i ? own(name) : NULL;
  return f ? f : instanceProc(i, name);
}
PFN_vkVoidFunction vk_icdGetPhysicalDeviceProcAddr(VkInstance i, const char *name) {
  load();
  PFN_vkVoidFunction f = strncmp(name, "vkGetPhysicalDeviceMemoryProperties", 35) ? NULL : own(name);
  return f ? f : physicalProc(i, name);
}
VkResult vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
  load();
  return negotiate(version);
}
