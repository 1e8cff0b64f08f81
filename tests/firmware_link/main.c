/* A firmware that takes every symbol of the library (named on the linker's command line). */
int main(void)
{
    return 0;
}
