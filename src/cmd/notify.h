/* notify.h - tells the service manager how we are (sd_notify(3)). */
#ifndef TG_CMD_NOTIFY_H
#define TG_CMD_NOTIFY_H

/* "READY=1", "STOPPING=1" …; nothing without $NOTIFY_SOCKET. */
void notify(const char *state);
/* "RELOADING=1" with the time it has to come with. */
void notify_reloading(void);

#endif
