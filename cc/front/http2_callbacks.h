// What nghttp2 tells of a connection, as methods of Http2Connection.
#ifndef STEPWELL_CC_FRONT_HTTP2_CALLBACKS_H_
#define STEPWELL_CC_FRONT_HTTP2_CALLBACKS_H_

#include <nghttp2/nghttp2.h>

namespace stepwell::front {

class Http2Connection;

// A session of the server's side which calls back to `connection`.
nghttp2_session* NewServerSession(Http2Connection* connection);

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_HTTP2_CALLBACKS_H_
