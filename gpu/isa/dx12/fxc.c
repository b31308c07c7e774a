/* fxc FILE.hlsl...: compiles each file with the d3dcompiler_47.dll beside it as wgpu-hal 0.19 does, for cs_5_1 and
   strictly. The file's last line names the entry point: "// entry main". The DLL (d3dcompiler.c) records what a
   compilation costs. */
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef HRESULT(WINAPI *Compile)(const void *, SIZE_T, const char *, const void *, void *, const char *, const char *,
	UINT, UINT, void **, void **);

int main(int n, char **files) {
	Compile compile = (Compile)GetProcAddress(LoadLibraryA("d3dcompiler_47.dll"), "D3DCompile");
	const UINT strict = 1 << 11; /* D3DCOMPILE_ENABLE_STRICTNESS */
	const SIZE_T most = 4 << 20;
	char *text = malloc(most), entry[256];
	for (int i = 1; i < n; i++) {
		FILE *f = fopen(files[i], "rb");
		SIZE_T size = f ? fread(text, 1, most - 1, f) : 0;
		text[size] = 0;
		char *last = strstr(text, "// entry ");
		if (!compile || !last || sscanf(last, "// entry %255s", entry) != 1) {
			fprintf(stderr, "fxc: %s: no compiler, no file or no entry point\n", files[i]);
			return 1;
		}
		fclose(f);
		void *code = NULL, *errors = NULL;
		compile(text, last - text, files[i], NULL, NULL, entry, "cs_5_1", strict, 0, &code, &errors);
	}
	return 0;
}
