/* A d3dcompiler_47.dll in front of Microsoft's, which lies beside it as d3dcompiler_real.dll. It hands every text through
   unchanged and keeps the code in the folder GPT2WGPU_FXC_CACHE, since FXC needs seconds for some kernels and tests
   compile the same ones each time. For each text it appends a line to the file GPT2WGPU_FXC_LOG, tab-separated: the name
   that the caller gave the text (wgpu: the shader module's label), CPU seconds of the compilation, HRESULT, instruction
   slots, registers, indexable temporaries ("x0[16], 4;" each), and what the compiler said.
   Build: x86_64-w64-mingw32-gcc -shared -O2 -o d3dcompiler_47.dll d3dcompiler.c d3dcompiler.def */
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Blob Blob; /* ID3DBlob */
struct Blob {
	struct {
		HRESULT(WINAPI *QueryInterface)(Blob *, const void *, void **);
		ULONG(WINAPI *AddRef)(Blob *);
		ULONG(WINAPI *Release)(Blob *);
		char *(WINAPI *Pointer)(Blob *);
		SIZE_T(WINAPI *Size)(Blob *);
	} *v;
};
typedef HRESULT(WINAPI *Compile)(const void *, SIZE_T, const char *, const void *, void *, const char *, const char *,
	UINT, UINT, Blob **, Blob **);
typedef HRESULT(WINAPI *Disassemble)(const void *, SIZE_T, UINT, const char *, Blob **);
typedef HRESULT(WINAPI *CreateBlob)(SIZE_T, Blob **);

static FARPROC real(const char *name) {
	HMODULE m = LoadLibraryA("d3dcompiler_real.dll");
	FARPROC f = m ? GetProcAddress(m, name) : NULL;
	if (!f) {
		fprintf(stderr, "d3dcompiler: no %s in d3dcompiler_real.dll\n", name);
		exit(1);
	}
	return f;
}

static double seconds(void) { /* CPU time of this thread, in steps of 10 ms */
	FILETIME c, e, k, u;
	GetThreadTimes(GetCurrentThread(), &c, &e, &k, &u);
	return 1e-7 * ((((unsigned long long)k.dwHighDateTime << 32) | k.dwLowDateTime) +
		(((unsigned long long)u.dwHighDateTime << 32) | u.dwLowDateTime));
}

static unsigned long long hash(unsigned long long h, const char *p, SIZE_T n) { /* FNV-1a */
	while (n--)
		h = (h ^ (unsigned char)*p++) * 1099511628211ULL;
	return h;
}

/* words appends what stands behind each mark in text, up to the line's end. */
static void words(char *out, SIZE_T size, const char *text, const char *mark) {
	for (const char *p = text; (p = strstr(p, mark));) {
		p += strlen(mark);
		SIZE_T n = strcspn(p, "\r\n"), at = strlen(out);
		if (at + n + 2 < size) {
			memcpy(out + at, p, n);
			strcpy(out + at + n, ";");
		}
	}
}

/* note appends a text's name and what its compilation cost to the log, in one write, since several processes may. */
static void note(const char *name, const char *cost) {
	char *path = getenv("GPT2WGPU_FXC_LOG"), line[4096];
	FILE *log = path ? fopen(path, "ab") : NULL;
	if (log) {
		int n = snprintf(line, sizeof line, "%s\t%s\n", name ? name : "", cost);
		setvbuf(log, NULL, _IOFBF, sizeof line);
		fwrite(line, 1, n, log);
		fclose(log);
	}
}

HRESULT WINAPI D3DDisassemble(const void *code, SIZE_T size, UINT flags, const char *comment, Blob **out) {
	return ((Disassemble)real("D3DDisassemble"))(code, size, flags, comment, out);
}

HRESULT WINAPI D3DCompile(const void *text, SIZE_T size, const char *name, const void *defines, void *include,
	const char *entry, const char *target, UINT flags1, UINT flags2, Blob **code, Blob **errors) {
	char *dir = getenv("GPT2WGPU_FXC_CACHE"), kept[600], part[640], cost[2048];
	unsigned long long key = hash(hash(hash(14695981039346656037ULL ^ flags1, text, size), entry, strlen(entry)),
		target, strlen(target));
	snprintf(kept, sizeof kept, "%s/%016llx", dir ? dir : ".", key);
	FILE *f = dir ? fopen(kept, "rb") : NULL; /* the cost in 2048 bytes, then the code */
	if (f) {
		fseek(f, 0, SEEK_END);
		long n = ftell(f) - sizeof cost;
		rewind(f);
		if (n > 0 && fread(cost, sizeof cost, 1, f) == 1 && SUCCEEDED(((CreateBlob)real("D3DCreateBlob"))(n, code)) &&
			fread((*code)->v->Pointer(*code), n, 1, f) == 1) {
			fclose(f);
			if (errors)
				*errors = NULL;
			note(name, cost);
			return S_OK;
		}
		fclose(f);
	}

	Blob *said = NULL, *list = NULL;
	Compile compile = (Compile)real("D3DCompile");
	double start = seconds();
	HRESULT hr = compile(text, size, name, defines, include, entry, target, flags1, flags2, code, &said);
	double took = seconds() - start;
	char slots[64] = "", temps[64] = "", indexable[1024] = "", error[768] = "";
	if (SUCCEEDED(hr))
		D3DDisassemble((*code)->v->Pointer(*code), (*code)->v->Size(*code), 0, NULL, &list);
	if (list) {
		words(slots, sizeof slots, list->v->Pointer(list), "Approximately ");
		words(temps, sizeof temps, list->v->Pointer(list), "dcl_temps ");
		words(indexable, sizeof indexable, list->v->Pointer(list), "dcl_indexableTemp ");
		list->v->Release(list);
	}
	if (FAILED(hr) && said) {
		strncpy(error, said->v->Pointer(said), sizeof error - 1);
		for (char *p = error; *p; p++)
			*p = *p < ' ' ? ' ' : *p;
	}
	memset(cost, 0, sizeof cost);
	snprintf(cost, sizeof cost, "%.2f\t%08lx\t%d\t%d\t%s\t%s", took, (unsigned long)hr, atoi(slots), atoi(temps),
		indexable, error);
	note(name, cost);
	snprintf(part, sizeof part, "%s.%lx.%lx", kept, GetCurrentProcessId(), GetCurrentThreadId());
	if (SUCCEEDED(hr) && dir && (f = fopen(part, "wb"))) {
		fwrite(cost, sizeof cost, 1, f);
		fwrite((*code)->v->Pointer(*code), (*code)->v->Size(*code), 1, f);
		fclose(f);
		MoveFileExA(part, kept, MOVEFILE_REPLACE_EXISTING);
	}
	if (errors)
		*errors = said;
	else if (said)
		said->v->Release(said);
	return hr;
}
