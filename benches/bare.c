/* What recording into a dict costs with CPython's C API and nothing around it: no argument is checked, no error, no type.
   `benches/ragflow.py` builds it where there is a C compiler. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject *sink_variable, *keys[4];

static PyObject *record(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t Py_UNUSED(count))
{
    PyObject *sink;
    if (PyContextVar_Get(sink_variable, NULL, &sink) < 0)
        return NULL;
    for (int at = 0; at < 4; at++) {
        long long added = at < 3 ? PyLong_AsLongLong(args[at]) : 1;
        PyObject *sum = PyLong_FromLongLong(PyLong_AsLongLong(PyDict_GetItemWithError(sink, keys[at])) + added);
        PyDict_SetItem(sink, keys[at], sum);
        Py_DECREF(sum);
    }
    Py_DECREF(sink);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"record", (PyCFunction)(void (*)(void))record, METH_FASTCALL, NULL}, {NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "bare", NULL, -1, methods};

PyMODINIT_FUNC PyInit_bare(void)
{
    static const char *const names[] = {"prompt_tokens", "completion_tokens", "total_tokens", "calls"};
    for (int at = 0; at < 4; at++)
        keys[at] = PyUnicode_InternFromString(names[at]);
    PyObject *module = PyModule_Create(&definition);
    sink_variable = PyContextVar_New("bare_sink", NULL);
    if (module != NULL && PyModule_AddObject(module, "sink_variable", Py_NewRef(sink_variable)) < 0)
        return NULL;
    return module;
}
