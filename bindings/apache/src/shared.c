/* Memory shared by all processes of a server, across reloads: counters, and the number of the last delivery. */

#include "mod_auth_clerk.h"

#include <apr_general.h>
#include <apr_shm.h>

mac_shared *mac_shared_state;

/* In the parent, once: reloads find it by its name in the pool of the process. */
int mac_shared_init(server_rec *s)
{
    /* The number changes with the structure: a reload may load another version of this module. */
    static const char name[] = "mod_auth_clerk.shared.2";
    apr_pool_t *p = s->process->pool;
    apr_shm_t *segment;
    void *found = NULL;
    apr_status_t rv;

    apr_pool_userdata_get(&found, name, p);
    if (!found) {
        rv = apr_shm_create(&segment, sizeof(mac_shared), NULL, p);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "mod_auth_clerk: cannot allocate shared memory");
            return HTTP_INTERNAL_SERVER_ERROR;
        }
        found = apr_shm_baseaddr_get(segment);
        memset(found, 0, sizeof(mac_shared));
        rv = apr_generate_random_bytes(((mac_shared *)found)->run_id, sizeof(((mac_shared *)found)->run_id));
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "mod_auth_clerk: cannot generate random numbers");
            return HTTP_INTERNAL_SERVER_ERROR;
        }
        apr_pool_userdata_set(found, name, apr_pool_cleanup_null, p);
    }
    mac_shared_state = found;
    return OK;
}
