/* Process identity, the table of descriptors and the lock that a child may take over. */
#include "queue_fake.h"

#include "transport/process.h"

#include <fcntl.h>
#include <pthread.h>

static void test_self(void **state)
{
    pid_t child;

    (void)state;
    assert_int_equal(process_self(), getpid());
    child = fork();
    if (child == 0)
        _exit(process_self() != getpid() || process_self() == getppid());
    assert_int_equal(child_status(child), 0);
    assert_int_equal(process_self(), getpid());
}

static void test_descriptors(void **state)
{
    int kept = open("/dev/null", O_RDONLY), gone = open("/dev/null", O_RDONLY), free_one = open("/dev/null", O_RDONLY);
    pid_t child;

    (void)state;
    process_fd_add(gone);
    process_fd_add(free_one);
    process_fd_remove(free_one);
    child = fork();
    if (child == 0) {
        int again;

        process_fd_close_all();
        if (fcntl(gone, F_GETFD) >= 0 || fcntl(kept, F_GETFD) < 0 || fcntl(free_one, F_GETFD) < 0)
            _exit(1);
        again = open("/dev/null", O_RDONLY); /* takes the closed number: a second call must leave it */
        process_fd_close_all();
        _exit(again != gone || fcntl(again, F_GETFD) < 0);
    }
    assert_int_equal(child_status(child), 0);
    assert_true(fcntl(gone, F_GETFD) >= 0);
    process_fd_remove(gone);
    close(gone);
    close(kept);
    close(free_one);
}

static struct process_lock lock;
static int guarded;

static void *lock_thread(void *argument)
{
    (void)argument;
    for (int i = 0; i < 10000; i++) {
        if (process_lock_acquire(&lock, in_ms(60000))) {
            guarded++;
            process_lock_release(&lock);
        }
    }
    return NULL;
}

static void test_lock(void **state)
{
    pthread_t threads[4];
    pid_t child;

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, lock_thread, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(guarded, 40000);
    assert_true(process_lock_acquire(&lock, in_ms(100)));
    assert_false(process_lock_acquire(&lock, in_ms(20)));
    child = fork(); /* while "another thread" holds it */
    if (child == 0) {
        bool taken = process_lock_acquire(&lock, in_ms(1000));

        process_lock_release(&lock);
        _exit(!taken || !process_lock_acquire(&lock, in_ms(100)));
    }
    assert_int_equal(child_status(child), 0);
    process_lock_release(&lock);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_self),
    cmocka_unit_test(test_descriptors),
    cmocka_unit_test(test_lock),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
