package integration

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/gorilla/mux"
	"github.com/labstack/echo/v4"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

// userID returns the user of a request.
func userID(r *http.Request) string {
	auth, _ := clerkauth.FromContext(r.Context())
	return auth.UserID()
}

func TestRouters(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	for name, router := range map[string]func(*clerkauth.Client) http.Handler{
		"net/http": func(client *clerkauth.Client) http.Handler {
			router := http.NewServeMux()
			router.Handle("GET /user/{page}", client.RequireAuth(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = w.Write([]byte(userID(r) + r.PathValue("page")))
			})))
			return router
		},
		"chi": func(client *clerkauth.Client) http.Handler {
			router := chi.NewRouter()
			router.Use(client.RequireAuth)
			router.Get("/user/{page}", func(w http.ResponseWriter, r *http.Request) {
				_, _ = w.Write([]byte(userID(r) + chi.URLParam(r, "page")))
			})
			return router
		},
		"gorilla": func(client *clerkauth.Client) http.Handler {
			router := mux.NewRouter()
			router.Use(client.RequireAuth)
			router.HandleFunc("/user/{page}", func(w http.ResponseWriter, r *http.Request) {
				_, _ = w.Write([]byte(userID(r) + mux.Vars(r)["page"]))
			})
			return router
		},
		"echo": func(client *clerkauth.Client) http.Handler {
			router := echo.New()
			router.Use(echo.WrapMiddleware(client.RequireAuth))
			router.GET("/user/:page", func(c echo.Context) error {
				return c.String(http.StatusOK, userID(c.Request())+c.Param("page"))
			})
			return router
		},
		"gin": func(client *clerkauth.Client) http.Handler {
			router := gin.New()
			router.Use(GinMiddleware(client.RequireAuth))
			router.GET("/user/:page", func(c *gin.Context) {
				c.String(http.StatusOK, userID(c.Request)+c.Param("page"))
			})
			return router
		},
	} {
		t.Run(name, func(t *testing.T) {
			sim := simtest.Start(t)
			handler := router(clientOf(t, sim, nil))
			get := func(token string) (int, string) {
				r := httptest.NewRequest("GET", "/user/profile", nil)
				if token != "" {
					r.Header.Set("Authorization", "Bearer "+token)
				}
				recorder := httptest.NewRecorder()
				handler.ServeHTTP(recorder, r)
				return recorder.Code, recorder.Body.String()
			}
			for range 2 {
				if status, body := get(sim.Session("user_1")); status != 200 || body != "user_1profile" {
					t.Error(status, body)
				}
			}
			for token, want := range map[string]string{"": "no_credentials", sim.Mint(`{"spoil": "tampered"}`): "invalid_token"} {
				if status, body := get(token); status != 401 || body != "{\"error\":\""+want+"\"}\n" {
					t.Error(status, body)
				}
			}
		})
	}
}

// The README has the same function.
func TestREADMEHasGinMiddleware(t *testing.T) {
	readme, own := must[[]byte](t)(os.ReadFile("../README.md")), must[[]byte](t)(os.ReadFile("routers_test.go"))
	_, function, _ := bytes.Cut(own, []byte("a net/http middleware to gin.\n"))
	if len(function) < 300 || !bytes.Contains(readme, function) {
		t.Error("the README does not have the GinMiddleware of this file")
	}
}

// GinMiddleware adapts a net/http middleware to gin.
func GinMiddleware(middleware func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed, c.Request = true, r
			c.Next()
		})).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort()
		}
	}
}
