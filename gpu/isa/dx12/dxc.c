/* dxc LIST: compiles each HLSL file that the file LIST names as wgpu-hal 0.19 does with DXC, for cs_6_0, and has dxil.dll
   validate the code. Both DLLs lie beside the program. The HLSL's last line names the entry point: "// entry main".
   Prints what failed, then "N passed, N failed". */
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Object {
	void **methods;
} Object;
typedef struct {
	const void *start;
	SIZE_T size;
	UINT encoding;
} Buffer;
typedef HRESULT(WINAPI *Create)(const GUID *, const GUID *, Object **);
#define CALL(o, method, ...) ((HRESULT(WINAPI *)())(o)->methods[method])(o, ##__VA_ARGS__)

static const GUID compiler_class = {0x73e22d93, 0xe6ce, 0x47f3, {0xb5, 0xbf, 0xf0, 0x66, 0x4f, 0x39, 0xc1, 0xb0}},
	validator_class = {0x8ca3e215, 0xf728, 0x4cf3, {0x8c, 0xdd, 0x88, 0xaf, 0x91, 0x75, 0x87, 0xa1}},
	compiler3 = {0x228b4687, 0x5a6a, 0x4730, {0x90, 0x0c, 0x97, 0x02, 0xb2, 0x20, 0x3f, 0x54}},
	validator1 = {0xa6e82bd2, 0x1fd7, 0x4826, {0x98, 0x11, 0x28, 0x57, 0xe7, 0x97, 0xf4, 0x9a}},
	result1 = {0x58346cda, 0xdde7, 0x4497, {0x94, 0x61, 0x6f, 0x87, 0xaf, 0x5e, 0x06, 0x59}};

static Object *create(const char *dll, const GUID *class, const GUID *iface) {
	Object *o = NULL;
	HMODULE m = LoadLibraryA(dll);
	if (!m || FAILED(((Create)GetProcAddress(m, "DxcCreateInstance"))(class, iface, &o))) {
		fprintf(stderr, "dxc: %s does not load\n", dll);
		exit(1);
	}
	return o;
}

/* outcome takes an IDxcOperationResult's status, and its code, or its errors in errors. */
static HRESULT outcome(Object *result, Object **code, Object **errors) {
	HRESULT status = E_FAIL;
	CALL(result, 3, &status);
	return FAILED(status) ? (CALL(result, 5, errors), status) : CALL(result, 4, code);
}

int main(int n, char **args) {
	Object *compiler = create("dxcompiler.dll", &compiler_class, &compiler3);
	Object *validator = create("dxil.dll", &validator_class, &validator1);
	const SIZE_T most = 4 << 20;
	char *text = malloc(most), path[1024], entry[256];
	int passed = 0, failed = 0;
	FILE *list = fopen(args[n - 1], "r");
	while (list && fgets(path, sizeof path, list)) {
		path[strcspn(path, "\r\n")] = 0;
		FILE *f = fopen(path, "rb");
		SIZE_T size = f ? fread(text, 1, most - 1, f) : 0;
		text[size] = 0;
		char *last = strstr(text, "// entry ");
		if (!last || sscanf(last, "// entry %255s", entry) != 1) {
			fprintf(stderr, "dxc: %s: no file or no entry point\n", path);
			return 1;
		}
		fclose(f);
		WCHAR name[256];
		swprintf(name, 256, L"%hs", entry);
		const WCHAR *flags[] = {L"-E", name, L"-T", L"cs_6_0", L"-Ges", L"-Vd", L"-HV", L"2018"};
		Buffer source = {text, last - text, CP_UTF8};
		Object *result = NULL, *code = NULL, *errors = NULL, *valid = NULL, *same = NULL;
		HRESULT hr = CALL(compiler, 3, &source, flags, (UINT)8, NULL, &result1, &result);
		if (SUCCEEDED(hr))
			hr = outcome(result, &code, &errors);
		if (SUCCEEDED(hr) && SUCCEEDED(hr = CALL(validator, 3, code, (UINT)0, &valid)))
			hr = outcome(valid, &same, &errors);
		SUCCEEDED(hr) ? passed++ : failed++;
		if (FAILED(hr))
			printf("%s: %08lx %.600s\n", path, (unsigned long)hr,
				errors ? ((char *(WINAPI *)(Object *))errors->methods[3])(errors) : "");
	}
	printf("%d passed, %d failed\n", passed, failed);
	return failed > 0 || passed == 0;
}
